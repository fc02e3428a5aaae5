"""`dataset.json` for a set made elsewhere, once every record of it was looked at."""

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input.manifest import FILE_NAME, Manifest
from resnet_tf.inspection.checking import Report
from resnet_tf.inspection.findings import counted


def manifest_of(report: Report) -> Manifest:
    """The manifest that describes what was found.

    Raises:
      UserError: 65 where there are errors, or a count of classes, that no run could use; 64
        where no picture was decoded.
    """
    directory = report.layout.directory
    if report.errors:
        raise UserError(
            errors.BAD_DATA,
            f"{counted(report.errors, 'error')} found, so no {FILE_NAME} was written",
            directory,
            "mend them first",
        )
    if not report.mean:
        raise UserError(
            errors.BAD_FLAGS,
            "mean and deviation are unknown, because no picture was decoded",
            "--decode",
            "leave --no_decode away",
        )
    return Manifest(
        directory=directory,
        name=report.layout.name,
        licence=report.layout.licence,
        classes=report.classes.names,
        label_offset=report.classes.offset,
        height=report.height,
        width=report.width,
        channels=report.channels,
        mean=report.mean,
        std=report.std,
        splits=report.shards,
        features=report.features,
    )


def write(report: Report) -> Manifest:
    """Writes `dataset.json`; one that says the same is left as it is.

    Raises:
      UserError: as `manifest_of`; 73 where another one is there, or the directory cannot be
        written to.
    """
    manifest = manifest_of(report)
    path = manifest.directory / FILE_NAME
    if path.exists():
        if Manifest.load(manifest.directory) != manifest:
            raise UserError(
                errors.CANNOT_CREATE,
                "there is one already, and it says otherwise",
                path,
                "move it away, then look again",
            )
        return manifest
    try:
        manifest.save()
    except OSError as error:
        raise UserError(
            errors.CANNOT_CREATE,
            f"cannot write the manifest: {error.strerror}",
            path,
            "see that the directory can be written to",
        ) from error
    return Manifest.load(manifest.directory)

"""ImageNet (ILSVRC 2012) from its official tars, read in place, or from folders.

What a folder may hold, the tar first where there are both:
    ILSVRC2012_img_train.tar   of a tar a class    or  train/<synset>/*.JPEG or train/<synset>.tar
    ILSVRC2012_img_val.tar     without classes     or  val/*.JPEG            or val/<synset>/*.JPEG
    ILSVRC2012_devkit_t12.tar.gz                   or another file that `imagenet_labels` reads

Nothing is unpacked: the headers of the tars say where each picture lies. Pictures are kept as
they are, odd ones too: n02105855_2933.JPEG is a PNG, and some two dozen are CMYK.

O. Russakovsky et al., *ImageNet Large Scale Visual Recognition Challenge*, IJCV 2015.
"""

import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from resnet_tf import errors
from resnet_tf.errors import UserError, bad_flag
from resnet_tf.preparation import imagenet_labels, tars
from resnet_tf.preparation.picture import Listing, Picture
from resnet_tf.preparation.stretch import Stretch

_LICENCE = "ImageNet's terms of access: for non-commercial research and education"
_TRAIN_TAR, _VALIDATION_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
_NUMBERED = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.\w+")
_ENDINGS = (".jpeg", ".jpg", ".png")


class _Found(NamedTuple):
    """A picture whose label is yet to be given."""

    filename: str
    read: Callable[[], bytes]
    size: int
    changed: int


_Classes = dict[str, list[_Found]]  # by synset


def listing(
    source: pathlib.Path,
    *,
    validation_labels: pathlib.Path | None = None,
    synsets: pathlib.Path | None = None,
) -> Listing:
    """The splits "train" and "validation", as far as they are there.

    Classes are the synsets in alphabetical order, as everybody's ImageNet networks have them,
    unless `synsets` says otherwise.

    Args:
      source: a folder; see the module's text.
      validation_labels: what `imagenet_labels.read` takes; by default the development kit, or
        another file of a usual name, in `source`. Not needed for val/<synset>/.
      synsets: a file of lines `synset` or `synset<TAB>name`. Keeps these classes only, in this
        order, under these names.

    Raises:
      UserError: 66 where pictures or labels are missing; 65 for a damaged or unsafe tar, a
        synset without pictures, a picture without a label, a name that is none of
        ImageNet's; 64 for `validation_labels` that nothing needs.
    """
    source = pathlib.Path(source)
    names = imagenet_labels.read_synsets(pathlib.Path(synsets)) if synsets else None
    train = _train(source, names)
    validation = _validation(source, validation_labels)
    if not train and not validation:
        raise UserError(
            errors.MISSING_INPUT,
            f"no {_TRAIN_TAR}, train, {_VALIDATION_TAR} or val",
            source,
            "give --input the folder that holds them",
        )
    splits = {"train": train, "validation": validation}
    splits = {split: found for split, found in splits.items() if found}
    measured = next(iter(splits))
    names = names or {synset: synset for synset in sorted(splits[measured])}
    for synset in names:
        if not splits[measured].get(synset):
            raise _bad(source, f"{measured} has no pictures of {synset}", "see that it is whole")
    strange = sorted(set(validation) - set(names))
    if strange and not synsets:
        raise _bad(source, f"validation shows {strange[0]}, which train lacks", "add the class")
    labels = {synset: label for label, synset in enumerate(names)}
    return Listing(
        name="imagenet2012",
        licence=_LICENCE,
        classes=tuple(names.values()),
        splits={split: _pictures(found, labels) for split, found in splits.items()},
    )


def _pictures(classes: _Classes, labels: dict[str, int]) -> list[Picture]:
    """In the order of the labels, and of the names: the same from tars and from folders."""
    return [
        Picture(found.read, found.size, label, found.filename, found.changed)
        for synset, label in labels.items()
        for found in sorted(classes.get(synset, ()), key=lambda found: found.filename)
    ]


def _train(source: pathlib.Path, wanted: Iterable[str] | None) -> _Classes:
    tar, folder = source / _TRAIN_TAR, source / "train"
    if tar.is_file():
        inner = tars.members(tar).items()
        lists = {pathlib.PurePosixPath(name).stem: (tar, member) for name, member in inner}
    elif folder.is_dir():
        lists = {path.name: (path, None) for path in folder.iterdir() if path.is_dir()}
        lists |= {path.stem: (path, None) for path in folder.glob("n*.tar")}
    else:
        return {}
    for synset in sorted(lists):
        if not imagenet_labels.SYNSET.fullmatch(synset):
            remedy = "take it away; --source=folder takes classes of any name"
            raise _bad(tar if tar.is_file() else folder, f"{synset} is no synset", remedy)
    chosen = lists if wanted is None else [synset for synset in wanted if synset in lists]
    return {synset: list(_class(synset, *lists[synset])) for synset in chosen}


def _class(synset: str, path: pathlib.Path, within: Stretch | None) -> Iterator[_Found]:
    pictures = _in_folder(path) if path.is_dir() else _in_tar(path, within, f"{synset}.tar")
    for found in pictures:
        yield found._replace(filename=f"{synset}/{pathlib.PurePosixPath(found.filename).name}")


def _validation(source: pathlib.Path, given: pathlib.Path | None) -> _Classes:
    tar = source / _VALIDATION_TAR
    folder = next((source / n for n in ("val", "validation") if (source / n).is_dir()), None)
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder else []
    if tar.is_file():
        where, numbered = tar, list(_in_tar(tar))
    else:
        where, numbered = folder, list(_in_folder(folder)) if folder and not classes else []
    if numbered:
        return _labelled(numbered, _labels(source, given), where)
    if given:
        raise bad_flag("validation_labels", f"is not for {source}: no ILSVRC2012_val_* pictures")
    return {path.name: list(_class(path.name, path, None)) for path in classes}


def _labels(source: pathlib.Path, given: pathlib.Path | None) -> dict[int, str]:
    path = pathlib.Path(given) if given else imagenet_labels.find(source)
    if path is None:
        raise UserError(
            errors.MISSING_INPUT,
            "the labels of the validation pictures are missing",
            source,
            f"put {imagenet_labels.DEVKIT} there, or give --validation_labels",
        )
    return imagenet_labels.read(path)


def _labelled(pictures: list[_Found], labels: dict[int, str], where: pathlib.Path) -> _Classes:
    classes = {}
    for found in pictures:
        number = _NUMBERED.fullmatch(found.filename)
        if not number or int(number[1]) not in labels:
            raise _bad(where, f"there is no label for {found.filename}", "see the file of labels")
        name = pathlib.PurePosixPath(found.filename).name
        classes.setdefault(labels[int(number[1])], []).append(found._replace(filename=name))
    return classes


def _in_tar(path: pathlib.Path, within: Stretch | None = None, inner: str = "") -> Iterator[_Found]:
    changed = path.stat().st_mtime_ns
    for name, stretch in tars.members(path, within, inner).items():
        if name.lower().endswith(_ENDINGS):
            yield _Found(name, stretch.read, stretch.size, changed)


def _in_folder(folder: pathlib.Path) -> Iterator[_Found]:
    for path in folder.iterdir():
        if path.suffix.lower() in _ENDINGS and path.is_file():
            status = path.stat()
            yield _Found(path.name, path.read_bytes, status.st_size, status.st_mtime_ns)


def _bad(where: pathlib.Path, what: str, remedy: str) -> UserError:
    return UserError(errors.BAD_DATA, what, where, remedy)

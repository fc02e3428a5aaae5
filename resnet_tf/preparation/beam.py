"""How TFDS is told to generate a set by Apache Beam; the options are looked at first.

Beam and TFDS do the work. TFDS has a builder's `beam.PTransform`s generate its records on
whatever runner the options name, into a directory that appears under its name when it is whole.
"""

import contextlib
import io
import logging
import shutil
from collections.abc import Iterator, Sequence

from resnet_tf.errors import bad_flag

# Beam's runner within this process. What Beam calls DirectRunner, its default, first fetches a
# program from the network (Prism) and runs it; who wants that names it.
_HERE = "FnApiRunner"


def download_config(options: Sequence[str] = ()):
    """The `tfds.download.DownloadConfig` that generates a set by Beam.

    Nothing is started, and no other machine is asked for anything.

    Args:
      options: as Beam's command line takes them, "--runner=FlinkRunner". Without a runner Beam
        runs in this process.

    Raises:
      UserError: 64 for options that Beam does not know, or that the runner does not take, and
        for a runner that is not there.
    """
    import tensorflow_datasets as tfds

    for option in options:
        if not option.startswith("--") or option == "--":
            raise bad_flag("beam_options", "must be --name=value,--name=value", repr(option))
    with _held_back() as said:
        try:
            pipeline, unknown = _pipeline(list(options))
        except SystemExit as error:  # argparse: it has said why
            reason = said.getvalue().strip().rpartition("error: ")[2].partition("\n")[0]
            raise bad_flag("beam_options", f"cannot be used: {reason}") from error
        except Exception as error:  # importing a runner and looking at its options, anything
            reason = " ".join(str(error).split())
            raise bad_flag("beam_options", f"cannot be used: {reason}") from error
    if unknown:
        raise bad_flag("beam_options", f"has what Beam does not know: {', '.join(unknown)}")
    return tfds.download.DownloadConfig(beam_options=pipeline.options, beam_runner=pipeline.runner)


def _pipeline(options: list[str]):
    """An empty pipeline, for which Beam looks at its options; those that it does not know."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners.portability.portable_runner import PortableRunner

    parsed = PipelineOptions(options)
    known = parsed.get_all_options()
    all_given = parsed.get_all_options(retain_unknown_options=True)
    runner = parsed.view_as(StandardOptions).runner or _HERE
    pipeline = beam.Pipeline(runner=runner, options=parsed)
    shutil.rmtree(pipeline.local_tempdir, ignore_errors=True)  # running it would remove it
    if isinstance(pipeline.runner, PortableRunner):  # hands what it does not know to its cluster
        return pipeline, []
    return pipeline, [f"--{name}" for name in all_given if name not in known]


@contextlib.contextmanager
def _held_back() -> Iterator[io.StringIO]:
    """Keeps what Beam prints about its options, and what its import logs, from the user."""
    said, before = io.StringIO(), logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield said
    finally:
        logging.disable(before)

"""Sets that TFDS generates by Apache Beam: all their records, or nothing; options and errors."""

import functools
import json
import pathlib
import tempfile

import pytest
from conftest import ROOT
from preparation import tiny_tfds

from resnet_tf.errors import UserError
from resnet_tf.input import Manifest
from resnet_tf.preparation import beam, tfds, tfds_directory

pytest.importorskip("apache_beam")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where TFDS keeps its sets, of which it knows those of by_beam.py."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))  # for processes that are started
    tfds_directory.import_builders(["preparation.by_beam"])
    return tmp_path / "home"


@pytest.fixture
def prepare(script, home, tmp_path):
    return functools.partial(
        script, "data/prepare.py", "--source=tfds", "--input=by_beam",
        "--imports=preparation.by_beam", f"--output={tmp_path / 'out'}",
    )  # fmt: skip


def contents(listing):
    return {
        split: [(picture.label, picture.filename, picture.read()) for picture in pictures]
        for split, pictures in listing.splits.items()
    }


def refused(code, function, *arguments, **options):
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    assert caught.value.code == code
    return str(caught.value)


# ---- sets


@pytest.mark.parametrize(
    "options", [[], ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]]
)
def test_all_records_are_the_same_as_without_beam(home, options, capfd):
    made = tfds.listing("by_beam", by_beam=beam.download_config(options))
    expected = contents(tfds.listing("without_beam"))
    assert contents(made) == expected
    assert {split: len(pictures) for split, pictures in expected.items()} == {
        "train": 7,
        "validation": 3,
    }
    assert (made.name, made.remarks) == ("by_beam/1.0.0", ())
    said = capfd.readouterr()
    assert (said.out, "said by a builder" in said.err) == ("", True)


def test_script_with_processes(prepare, script, home, tmp_path):
    """Workers of their own, whose output is not ours; then read in place, and rewritten."""
    options = "--beam_options=--direct_num_workers=2,--direct_running_mode=multi_processing"
    done = prepare("--beam", options, "--output=")
    assert done.returncode == 0, done.stderr
    there = home / "by_beam" / "1.0.0"
    assert json.loads(done.stdout) == {"event": "generated", "directory": str(there)}
    assert "said by a builder" in done.stderr
    assert [path.name for path in (home / "by_beam").iterdir()] == ["1.0.0"]
    assert not (tmp_path / "out").exists()

    checked = script("data/check.py", f"--data_dir={there}", "--write_manifest")
    assert checked.returncode == 0, checked.stderr
    in_place = Manifest.load(there)
    assert (in_place.records("train"), in_place.records("validation")) == (7, 3)

    again = prepare("--beam")
    assert again.returncode == 0, again.stderr
    (line,) = again.stdout.splitlines()
    assert json.loads(line)["records"] == {"train": 7, "validation": 3}
    assert f"{there} was prepared already: Beam had nothing to do" in again.stderr
    assert Manifest.load(tmp_path / "out").mean == pytest.approx(in_place.mean)


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
def test_pipeline_that_fails(home, monkeypatch, mode):
    monkeypatch.setenv("BY_BEAM", "fail")
    config = beam.download_config([f"--direct_running_mode={mode}"])
    said = refused(66, tfds.listing, "by_beam", by_beam=config)
    assert said.startswith("ERROR 66: TFDS cannot prepare it: ")
    assert {"in_memory": "picture 5 is bad |", "multi_threading": "while running"}[mode] in said
    assert list((home / "by_beam").iterdir()) == []


def test_pipeline_that_is_interrupted(home, monkeypatch):
    monkeypatch.setenv("BY_BEAM", "interrupt")
    with pytest.raises(KeyboardInterrupt):
        tfds.listing("by_beam", by_beam=beam.download_config())
    assert list((home / "by_beam").iterdir()) == []


def test_pipeline_that_is_killed(prepare, home, tmp_path):
    killed = prepare("--beam", BY_BEAM="kill")
    assert killed.returncode == -9
    assert not (tmp_path / "out").exists()
    (left,) = (home / "by_beam").iterdir()
    assert left.name.startswith("incomplete.")
    # The worst moment: all is written, and not yet renamed.
    whole = tiny_tfds.prepare(
        tmp_path / "other", tiny_tfds.usual_features, tiny_tfds.usual_splits(), name="by_beam"
    )
    for path in whole.iterdir():
        path.replace(left / path.name)
    assert "there is no prepared by_beam" in refused(66, tfds.listing, "by_beam", offline=True)
    made = tfds.listing("by_beam", by_beam=beam.download_config())
    assert len(made.splits["train"]) == 7
    assert (home / "by_beam" / "1.0.0" / "dataset_info.json").is_file()


def test_set_that_needs_no_beam(home):
    made = tfds.listing("without_beam", by_beam=beam.download_config())
    assert contents(made) == contents(tfds.listing("without_beam"))


# ---- options


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["runner=DirectRunner"], "must be --name=value,--name=value, got 'runner=DirectRunner'"),
        (["--direct_num_workers", "2"], "must be --name=value,--name=value, got '2'"),
        (["--"], "must be --name=value,--name=value, got '--'"),
        (["--direct_num_workers=x"], "argument --direct_num_workers: invalid int value: 'x'"),
        (["--runner"], "argument --runner: expected one argument"),
        (["--direct_num_worker=2"], "has what Beam does not know: --direct_num_worker |"),
        (["--runner=Nope"], "Unexpected pipeline runner: Nope."),
        (["--runner=no.such.Runner"], "No module named 'no'"),
        (["--runner=os.path"], "'module' object is not callable"),
        (["--environment_type=PROCESS"], "Option process_command is required"),
        (["--help"], "cannot be used: usage"),
    ],
)
def test_options_that_cannot_be_used(options, reason, capfd):
    before = set(pathlib.Path(tempfile.gettempdir()).glob("beam-pipeline-temp*"))
    said = refused(64, beam.download_config, options)
    assert said.startswith("ERROR 64: beam_options ")
    assert reason in said
    assert "\n" not in said
    assert capfd.readouterr() == ("", "")
    assert set(pathlib.Path(tempfile.gettempdir()).glob("beam-pipeline-temp*")) <= before


def test_what_a_cluster_may_know_is_handed_on():
    config = beam.download_config(["--runner=FlinkRunner", "--parallelism=2", "--of_theirs=3"])
    assert type(config.beam_runner).__name__ == "FlinkRunner"
    options = config.beam_options.get_all_options(retain_unknown_options=True)
    assert (options["parallelism"], options["of_theirs"]) == (2, "3")


def test_runner_is_beams_own_within_this_process():
    """Not DirectRunner, which would fetch a program first."""
    assert type(beam.download_config().beam_runner).__name__ == "FnApiRunner"
    chosen = beam.download_config(["--runner=DirectRunner"])
    assert type(chosen.beam_runner).__name__ == "SwitchingDirectRunner"


# ---- the script's errors, and those without Beam


@pytest.mark.parametrize(
    ("flags", "what"),
    [
        (["--output="], "output must be given"),
        (["--beam_options=--runner=X"], "beam_options needs --beam | --beam_options"),
        (["--beam", "--offline"], "beam generates a set, so it excludes --offline | --beam"),
        (["--beam", "--beam_options=x"], "beam_options must be --name=value,--name=value"),
        (["--source=mnist", "--beam"], "beam is for --source=tfds, not for mnist | --beam"),
    ],
)
def test_flags(prepare, tmp_path, flags, what):
    done = prepare(*flags)
    assert (done.returncode, done.stdout) == (64, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ERROR 64: {what}")
    assert not (tmp_path / "home").exists()


def test_without_apache_beam(script, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'apache_beam' else found(name)\n"
    )
    flags = ["--source=tfds", "--input=by_beam", f"--output={tmp_path / 'out'}", "--beam"]
    done = script("data/prepare.py", *flags, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (66, "")
    assert done.stderr == (
        "ERROR 66: apache-beam is not installed, which generates the set | --beam"
        " | pip install -e '.[beam]'\n"
    )


@pytest.mark.parametrize(
    "failure", [EOFError("EOF when reading a line"), ImportError("No module named 'apache_beam'")]
)
def test_set_of_beam_without_the_flag(tmp_path, monkeypatch, failure):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    name = f"needs_beam_{type(failure).__name__.lower()}"
    tiny_tfds.builder_class(tiny_tfds.usual_features, failure, registered=True, name=name)
    said = refused(66, tfds.listing, name)
    assert "(Apache Beam generates it)" in said
    assert "pip install -e '.[beam]' and data/prepare.py --source=tfds --beam" in said


def test_store(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "gs://bucket/sets")
    said = refused(66, tfds.listing, "by_beam")
    assert "sets are read from the disk, not from gs://bucket/sets | TFDS_DATA_DIR" in said


def test_modules_that_cannot_be_imported():
    said = refused(66, tfds_directory.import_builders, ["no_such_module_of_mine"])
    assert "cannot import no_such_module_of_mine: No module named" in said
    assert "| --imports |" in said

"""What a command does in a directory that may hold a run: the numbered rules of `resume`."""

import hashlib
import json
import shutil

import made
import pytest
import small_runs

from resnet_tf import checkpoint, runtime
from resnet_tf.config import Config
from resnet_tf.errors import UserError

RUN = {"steps": 6, "save_every_steps": 2, "keep": 3}


def write(directory, number=10, classes=small_runs.CLASSES):
    directory.mkdir()
    splits = {"train": [small_runs.payloads(number)], "test": [small_runs.payloads(4)]}
    made.data_set(directory, splits, classes=classes, size=8)
    return directory


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "data")


@pytest.fixture(autouse=True)
def tiny(monkeypatch, two_replicas):
    small_runs.use_tiny(monkeypatch, two_replicas)


def again(data, run, **told):
    return small_runs.train(data, run, **RUN | {"steps": 8} | told)


def refused(code, message, *arguments, **told):
    with pytest.raises(UserError, match=f"ERROR {code}: {message}") as caught:
        again(*arguments, **told)
    return caught.value


def names(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


@pytest.fixture
def run(data, tmp_path):
    small_runs.train(data, tmp_path / "run", **RUN)
    return tmp_path / "run"


def damage(run, step):
    file = run / f"checkpoints/step_{step:09d}/variables.data-00000-of-00001"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_damaged_one_is_set_aside_and_the_one_before_is_used(data, run, capsys):
    """# fault A11, rule 2"""
    undisturbed = again(data, run.with_name("other"))
    damage(run, 6)
    assert again(data, run)["digest"] == undisturbed["digest"]
    said = "step_000000006 is damaged (variables.data-00000-of-00001 fails its checksum); kept as"
    assert said in capsys.readouterr().err
    assert any(name.startswith("step_000000006.corrupt-") for name in names(run))


def test_strict_resume_stops_there(data, run):
    """# fault A11, rule 2"""
    damage(run, 6)
    before = names(run)
    message = "step_000000006 is damaged .* and step_000000004 is before it"
    refused(74, message, data, run, strict_resume=True)
    assert names(run) == before
    assert again(data, run)["step"] == 8
    assert again(data, run, strict_resume=True, steps=9)["step"] == 9  # which is whole again


def test_none_that_verifies(data, run):
    """# fault A13, rule 3"""
    for step in (2, 4, 6):
        damage(run, step)
    before = names(run)
    error = refused(78, "none of the 3 commits can be used", data, run)
    assert error.details.count("fails its checksum") == 3 and names(run) == before


@pytest.mark.parametrize("where", [".", "checkpoints"])
@pytest.mark.parametrize("name", [
    "checkpoint", "ckpt-5.index", "model.h5", "weights.keras", "best.pt", "last.pth", "a.ckpt",
    "model.ckpt-100.meta",
])  # fmt: skip
def test_checkpoints_of_another_program(data, tmp_path, where, name):
    """# fault A14, rule 3"""
    folder = tmp_path / "run" / where
    folder.mkdir(parents=True)
    (folder / name).write_text("something")
    error = refused(78, "there are checkpoints here, but no commit of this program", data,
                    tmp_path / "run")  # fmt: skip
    assert error.where == folder / name and (folder / name).read_text() == "something"
    assert "import_weights.py" in str(error)


def test_commits_that_are_gone(data, run):
    """# fault A14, rule 3: the journal remembers them."""
    for path in (run / "checkpoints").iterdir():
        path.rename(run.with_name(path.name))
    refused(78, "the journal tells of a commit of step 6, and there is none", data, run)


def test_all_set_aside(data, run):
    """# fault A13, rule 3"""
    (run / "journal.jsonl").unlink()
    for path in (run / "checkpoints").iterdir():
        path.rename(path.with_name(f"{path.name}.corrupt-0123abcd"))
    refused(78, "all commits here were damaged and set aside", data, run)


def test_a_run_that_never_committed_begins_at_0(data, tmp_path):
    """# fault A9, rule 1"""
    (tmp_path / "run/checkpoints/step_000000002.tmp-0123abcd").mkdir(parents=True)
    line = json.dumps({"event": "start", "step": 0})
    (tmp_path / "run/journal.jsonl").write_text(f"{line}\n")
    (tmp_path / "run/lr_finder.png").write_bytes(b"")
    assert again(data, tmp_path / "run")["step"] == 8
    assert "step_000000002.tmp-0123abcd" not in names(tmp_path / "run")


def test_a_changed_flag_is_a_table(data, run):
    """# fault G3, rule 4"""
    error = refused(78, "the run here has --learning_rate=0.01 and not 0.02, --momentum=0.9 and"
                    " not 0.8", data, run, learning_rate=0.02, momentum=0.8)  # fmt: skip
    assert "--allow_change=learning_rate,momentum" in str(error)
    rows = [line.split() for line in error.details.splitlines()]
    assert rows == [["the", "run", "here", "now"], ["--learning_rate", "0.01", "0.02"],
                    ["--momentum", "0.9", "0.8"]]  # fmt: skip


def test_a_change_that_is_allowed_is_recorded(data, run):
    """# fault G3, rule 4"""
    message = "the run here has --momentum=0.9 and not 0.8"
    told = {"learning_rate": 0.02, "momentum": 0.8}
    refused(78, message, data, run, **told, allow_change=("learning_rate",))
    assert again(data, run, **told, allow_change=("learning_rate", "momentum"))["step"] == 8
    first = {"step": 6, "changes": {"learning_rate": [0.01, 0.02], "momentum": [0.9, 0.8]}}
    assert checkpoint.find(run).manifest["changes"] == [first]
    assert small_runs.journal(run, "start")[-1]["changes"] == [first]
    # From here on it is that run: nothing need be allowed any more, and what was stays told.
    assert again(data, run, **told, steps=9)["step"] == 9
    assert checkpoint.find(run).manifest["changes"] == [first]
    again(data, run, momentum=0.8, steps=10, allow_change=("learning_rate",))
    second = {"step": 9, "changes": {"learning_rate": [0.02, 0.01]}}
    assert checkpoint.find(run).manifest["changes"] == [first, second]


def test_other_data(data, run, tmp_path):
    """# fault C12, rule 4"""
    other = write(tmp_path / "more", number=12)
    refused(78, "the run here has other data", other, run)
    assert again(other, run, allow_change=("data",))["step"] == 8
    (change,) = checkpoint.find(run).manifest["changes"]
    assert change["changes"]["data"] == [str(data.resolve()), str(other.resolve())]


def test_other_classes_cannot_be_allowed(run, tmp_path):
    """# fault G1, rule 4"""
    other = write(tmp_path / "other", classes=5)
    refused(78, "the run here has num_classes 4 and not 5", other, run, allow_change=("data",))


def test_other_names_of_the_classes_cannot_be_allowed(data, run):
    """# fault G1, rule 4"""
    manifest = json.loads((data / "dataset.json").read_text())
    manifest["classes"] = [f"other {name}" for name in manifest["classes"]]
    (data / "dataset.json").write_text(json.dumps(manifest))
    refused(78, "the run here was trained on other classes", data, run, allow_change=("data",))


def test_another_network_whose_variables_have_the_same_shapes(data, run):
    """# fault G2: every network here is `Tiny`, under whatever name."""
    before = names(run)
    message = "the run here has model cifar_resnet20 and not cifar_resnet20_v2"
    refused(78, message, data, run, model="cifar_resnet20_v2", allow_change=("data",))
    message = r"the run here has options {} and not {'ordering': 'b'}"
    refused(78, message, data, run, model_options={"ordering": "b"})
    assert names(run) == before


def test_harmless_flags_are_said(data, run, capsys):
    """# fault G4, rule 4"""
    again(data, run, keep=5, log_every_steps=7)
    assert (
        "changed: log_every_steps 50 -> 7, keep 3 -> 5, steps 6 -> 8\n" in capsys.readouterr().err
    )
    assert "changes" not in checkpoint.find(run).manifest


def test_what_is_not_exact_is_said_or_refused(data, run, monkeypatch, capsys):
    """# fault G10, rule 5"""
    environment = runtime.describe() | {"tensorflow": "2.99"}
    monkeypatch.setattr(runtime, "describe", lambda: environment)
    before = names(run)
    refused(78, "not bit-exact: tensorflow 2.99 and not ", data, run, require_exact=True)
    assert names(run) == before
    again(data, run)
    assert "not bit-exact from here on: tensorflow 2.99 and not" in capsys.readouterr().err


def test_where_it_is_exact_nothing_is_refused(data, run):
    assert again(data, run, require_exact=True)["step"] == 8


@pytest.mark.parametrize("name", ["nothing", "keep", "model", "model_options", "allow_change"])
def test_what_cannot_be_allowed(name):
    with pytest.raises(UserError, match=f"ERROR 64: allow_change must name data or .*{name}"):
        Config(steps=1, allow_change=(name,))


@pytest.mark.parametrize("place", [
    "step_000000006", "checkpoints/step_6", "checkpoints/step_000000006.trash-12345678",
    "checkpoints/step_0000000006", "checkpoints/best",
])  # fmt: skip
def test_a_commit_in_another_place_is_never_step_0(data, run, tmp_path, place):
    """# fault A12, rule 3"""
    other = tmp_path / "other"
    (other / "checkpoints").mkdir(parents=True)
    shutil.copytree(run / "checkpoints/step_000000006", other / place)
    message = r"there is a commit here, but not under its name in checkpoints/"
    refused(78, message, data, other)
    assert (other / place / "manifest.json").exists()


def test_a_commit_that_was_being_written_is_none(data, run, tmp_path):
    """The first one, killed before it had its name: the run begins."""
    other = tmp_path / "other"
    (other / "checkpoints").mkdir(parents=True)
    made = other / "checkpoints/step_000000002.tmp-12345678"
    shutil.copytree(run / "checkpoints/step_000000006", made)
    assert again(data, other)["step"] == 8 and not made.exists()


def test_another_batch_goes_on_elsewhere_in_the_order_which_is_said(data, run, capsys):
    again(data, run, batch_size=2, allow_change=("batch_size",))
    assert (
        "the next batch begins at example 12 of the order, and not at 24; epochs and examples are"
        " counted as if all steps had had the new number\n"
    ) in capsys.readouterr().err


@pytest.mark.parametrize("change, kind", [
    ({"config": {"seed": "x"}}, "TypeError"), ({"config": {"steps": None}}, "TypeError"),
    ({"config": {"flip": 1}}, "TypeError"), ({"config": {"steps": 0}}, "ValueError"),
    ({"data": None}, "TypeError"), ({"data": {"fingerprint": 3}}, "TypeError"),
])  # fmt: skip
def test_a_manifest_that_no_run_wrote(data, run, change, kind):
    """# fault S1"""
    path = run / "checkpoints/step_000000006/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["seal"]
    for field, value in change.items():
        manifest[field] = value and manifest[field] | value
    seal = hashlib.sha256(json.dumps(manifest, indent=1).encode()).hexdigest()
    path.write_text(json.dumps({**manifest, "seal": seal}, indent=1) + "\n")
    refused(78, f"its manifest describes no network: {kind}", data, run)

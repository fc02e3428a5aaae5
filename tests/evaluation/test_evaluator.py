"""`Evaluator`: which commits and data it takes, and what names a record."""

import pytest
import record_files
import small_commits
import tensorflow as tf

from resnet_tf import checkpoint, input
from resnet_tf.distribution import DeviceRequest
from resnet_tf.errors import UserError
from resnet_tf.evaluation import Evaluator, Request, evaluate_checkpoint
from resnet_tf.preprocessing import Preprocessing

ONE = tf.distribute.get_strategy()
DIGITS = Preprocessing(8, 8, 1, mean=(77.9,), std=(95.9,))
CLASSES = [str(number) for number in range(10)]
SMALL = {"depth": 8, "width_multiplier": 0.25, "channels": 1}


def of_digits(folder, digits, classes=CLASSES, step=4, **options):
    """A commit of an untrained network for the embedded data."""
    made = small_commits.commit(folder / "made", classes, DIGITS, **SMALL | options)
    fields = dict(made.manifest) | {
        "data": {"directory": str(digits.directory), "eval_split": "test"},
    }
    fields["architecture"]["options"].pop("channels")
    for name in ("format_version", "files", "step", "digest", "seal"):
        fields.pop(name, None)
    reader = tf.train.load_checkpoint(made.variables)
    tensors = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
    return checkpoint.write(folder / "checkpoints", step, tensors, fields)


def refused(code, message, function, *arguments, **told):
    with pytest.raises(UserError) as caught:
        function(*arguments, **told)
    assert caught.value.code == code and message in str(caught.value)


def test_another_commit_of_the_same_network_and_one_of_another(tmp_path, digits):
    first = of_digits(tmp_path / "a", digits)
    evaluator = Evaluator(first, ONE, Request(batch_size=90))
    event = evaluator.evaluate(first)
    assert (event["examples"], event["step"], event["split"]) == (360, 4, "test")
    again = evaluator.evaluate(of_digits(tmp_path / "b", digits, step=5))
    assert again["step"] == 5 and again["correct_top1"] == event["correct_top1"]
    other = of_digits(tmp_path / "c", digits, step=6, depth=14)
    refused(78, "step 6 is of another network, or of other classes", evaluator.evaluate, other)


def test_a_temperature_says_what_it_was_fitted_on(tmp_path, digits):
    commit = of_digits(tmp_path, digits)
    told = {"batch_size": 200}
    for split, usual in (("test", True), ("train", False)):
        request = Request(fit_temperature=True, split=split, **told)
        fitted = Evaluator(commit, ONE, request).evaluate(commit)["fitted_temperature"]
        assert (fitted["fitted_on"], fitted["evaluated_by_default"]) == (split, usual)
        event = Evaluator(commit, ONE, Request(calibrated=True, **told)).evaluate(commit)
        assert (event["split"], event["fitted_on"]) == ("test", split)
        assert event["temperature"] == fitted["temperature"]


def test_a_label_map_needs_names(tmp_path, digits):
    commit = of_digits(tmp_path, digits)
    manifest = dict(commit.manifest) | {"classes": None}
    nameless = checkpoint.Commit(commit.path, commit.step, manifest)
    message = "imported weights without class names have no label map"
    refused(78, message, Evaluator, nameless, ONE, Request(label_map="names"))


def test_words_that_are_wrong_are_said_before_anything_is_read():
    cpu = DeviceRequest.parse("cpu")
    refused(64, "batch_size must be 1 or more", evaluate_checkpoint, "none", cpu, batch_size=0)
    refused(64, "crops must be 1 or 5, got 3", evaluate_checkpoint, "none", cpu, crops=3)
    for told in ({"crops": 5}, {"flip": True}, {"label_map": "names"}, {"calibrated": True}):
        message = f"fit_temperature and {next(iter(told))} exclude each other"
        refused(64, message, Request, fit_temperature=True, **told)


def test_a_record_without_a_file_name_is_named_by_its_place(tmp_path):
    payloads = []
    for number, payload in enumerate(record_files.sound_records(3)):
        example = tf.train.Example.FromString(payload)
        example.features.feature.pop("image/filename", None)
        if number != 1:
            value = example.features.feature["image/filename"].bytes_list.value
            value.append(b"dir/\xff.png" if number else b"a.png")
        payloads.append(example.SerializeToString(deterministic=True))
    (file,) = record_files.write_set(tmp_path, payloads)
    found = input.keys(input.Manifest.load(tmp_path), "train")
    assert found == ["a.png", f"{file}:1", "dir/\udcff.png"]

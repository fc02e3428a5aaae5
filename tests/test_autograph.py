"""AutoGraph rewrites nothing of the package: that took half of a small run's start-up."""

import ast
import pathlib

import pytest
import small_runs

from tensorflow.python.autograph.impl import api  # isort: skip

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "resnet_tf"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small_runs.data_set(tmp_path_factory.mktemp("data") / "it")


@pytest.mark.parametrize("told", [
    {"policy": "augmix", "erasing": 0.5, "hue": 0.1, "devices": "cpu:2"},
    {"reader": "memory", "mixup": 0.2, "repeats": 2, "accumulate": 2},
    {"reader": "windowed", "shuffle_window": 1, "policy": "randaugment"},
], ids=lambda told: told.get("policy", "mixup"))  # fmt: skip
def test_a_run_with_its_evaluation(data, tmp_path, monkeypatch, two_replicas, told):
    small_runs.use_normed(monkeypatch, two_replicas)
    converted, real = [], api._convert_actual

    def convert(entity, *more):
        converted.append(getattr(entity, "__qualname__", entity))
        return real(entity, *more)

    monkeypatch.setattr(api, "_convert_actual", convert)
    small_runs.train(data, tmp_path / "run", eval_every_steps=3, **told)
    assert converted == []


def test_what_is_traced_says_so():
    silent = []
    for path in sorted(PACKAGE.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        off = {
            id(call.func) for call in nodes if isinstance(call, ast.Call)
            if any(k.arg == "autograph" and ast.unparse(k.value) == "False" for k in call.keywords)
        }  # fmt: skip
        silent += [
            f"{path.name}:{node.lineno}" for node in nodes
            if isinstance(node, ast.Attribute) and ast.unparse(node) == "tf.function"
            and id(node) not in off
        ]  # fmt: skip
    assert silent == []

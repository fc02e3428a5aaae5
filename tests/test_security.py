"""What must not be in the package: each call that could run what a file says. # fault S5"""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "resnet_tf").rglob("*.py"),
                *(ROOT / "tools").glob("*.py"), *(ROOT / "data").glob("*.py")])  # fmt: skip
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "keras",
    "yaml",
}
NAMES = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {
    "py_function", "numpy_function", "py_func", "eager_py_func", "load_model", "ignore_errors",
    "extractall", "extract", "system", "popen", "load_op_library", "from_generator",
}  # fmt: skip
_DOTTED = ("tf.keras", "tf.saved_model.load")
# (file, what): why it is there.
ALLOWED = {
    ("resnet_tf/exporting/exports.py", "tf.saved_model.load"): "proves what was just written",
    ("resnet_tf/preparation/tfds_directory.py", "importlib.import_module"): "--imports names it",
}  # fmt: skip


def dotted(node):
    """`a.b.c` as text, "" where it is something else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def forbidden(source):
    """(line, what) of each thing in a text that must not be there."""
    for node in ast.walk(ast.parse(source)):
        imported = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:  # one of these by a name of its own
                if alias.name in ATTRIBUTES | NAMES | {"keras", "import_module"}:
                    yield node.lineno, f"from {node.module} import {alias.name}"
        for name in imported:
            if name.split(".")[0] in MODULES or "tensorflow.keras" in name:
                yield node.lineno, f"import {name}"
        if isinstance(node, ast.Attribute):
            name = dotted(node)
            if node.attr in ATTRIBUTES | {"import_module"} or name in _DOTTED:
                yield node.lineno, name
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in NAMES:
            yield node.lineno, node.func.id
        told = {keyword.arg: keyword.value for keyword in node.keywords}
        for name in ("shell", "allow_pickle"):
            if name in told and not (isinstance(told[name], ast.Constant) and not told[name].value):
                yield node.lineno, f"{name}=…"
        if dotted(node.func) in ("np.load", "numpy.load") and "allow_pickle" not in told:
            yield node.lineno, "np.load without allow_pickle=False"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_what_a_file_says(path):
    """# fault S5"""
    name = path.relative_to(ROOT).as_posix()
    found = [(line, what) for line, what in forbidden(path.read_text(encoding="utf-8"))
             if (name, what) not in ALLOWED]  # fmt: skip
    # `shutil.rmtree(ignore_errors=True)` is a keyword, not tf.data's transformation.
    assert found == []


@pytest.mark.parametrize("source", [
    "import pickle", "from pickle import loads", "import yaml", "from tensorflow import keras",
    "from os import system", "from importlib import import_module",
    "importlib.import_module('pickle')",
    "from tensorflow.keras import layers",
    "eval('1')", "exec(text)", "__import__('os')", "tf.py_function(f, [], [])", "tf.keras.Model()",
    "tf.numpy_function(f, [], [])", "data.ignore_errors()", "keras.models.load_model(path)",
    "tf.saved_model.load(path)", "tar.extractall(path)", "os.system('ls')", "os.popen('ls')",
    "subprocess.run('ls', shell=True)", "np.load(path)", "np.load(path, allow_pickle=True)",
    "np.load(path, allow_pickle=asked)", "tf.load_op_library(path)",
])  # fmt: skip
def test_each_of_them_is_found(source):
    assert len(list(forbidden(source))) >= 1


@pytest.mark.parametrize("source", [
    "np.load(path, allow_pickle=False)", "subprocess.run(['ls'], shell=False)", "import json",
    "model.evaluate()", "tf.train.load_checkpoint(path)", "shutil.rmtree(a, ignore_errors=True)",
])  # fmt: skip
def test_what_is_like_them_is_not(source):
    assert list(forbidden(source)) == []


def test_what_is_allowed_is_there():
    for (name, what), _ in ALLOWED.items():
        assert what in [found for _, found in forbidden((ROOT / name).read_text(encoding="utf-8"))]

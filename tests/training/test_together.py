"""What is the same in all processes, or is told of: their code, and who can reach their ports."""

import os

import pytest

from resnet_tf.checkpoint import Lock
from resnet_tf.distribution import Cluster
from resnet_tf.training import together


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("[::1]", False), ("a", True)]
)
def test_who_is_warned(host, warned):
    """# fault S8"""
    said = []
    together.warn_of_strangers(Cluster(("127.0.0.1:1", f"{host}:29500"), 1, "flags"), said.append)
    expected = ["whoever reaches port 29500 can give it commands, see SECURITY.md"]
    assert said == (expected if warned else [])


def test_code_that_was_changed_is_other_code(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name / "part").mkdir(parents=True)
        (tmp_path / name / "part/a.py").write_text("a = 1")
        (tmp_path / name / "b.py").write_text("b = 1")
        (tmp_path / name / "cached.pyc").write_text(name)
    here, there = (together._code_of(tmp_path / name) for name in ("here", "there"))
    assert here == there
    (tmp_path / "there/part/a.py").write_text("a = 2")
    assert together._code_of(tmp_path / "there") != here
    (tmp_path / "here/b.py").rename(tmp_path / "here/c.py")
    assert together._code_of(tmp_path / "here") != here


def test_what_processes_that_were_killed_left_goes_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(together.tempfile, "tempdir", str(tmp_path))
    for name in ("resnet_tf-worker-left", "resnet_tf-worker-held", "resnet_tf-worker-new", "other"):
        (tmp_path / name).mkdir()
    lock = Lock(tmp_path / "resnet_tf-worker-held")
    for name in ("resnet_tf-worker-left", "resnet_tf-worker-held", "other"):
        os.utime(tmp_path / name, (0, 0))
    together._clear_scratch()
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["other", "resnet_tf-worker-held", "resnet_tf-worker-new"]
    lock.release()

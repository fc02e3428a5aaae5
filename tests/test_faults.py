"""Faults by name: where they are, and that they need a second word. # fault S9"""

import ast
import pathlib

import pytest

from resnet_tf import faults

PACKAGE = pathlib.Path(faults.__file__).resolve().parent


@pytest.fixture
def killed(monkeypatch):
    signals = []
    monkeypatch.setattr(faults, "_seen", faults.collections.Counter())
    monkeypatch.setattr(faults.os, "kill", lambda pid, number: signals.append(number))
    monkeypatch.setenv("RESNET_TF_TESTING", "1")
    return signals


def test_nothing_happens_where_nothing_is_asked(killed, monkeypatch):
    monkeypatch.delenv("RESNET_TF_FAULT", raising=False)
    faults.at("step")
    assert not killed


def test_the_nth_time_and_only_then(killed, monkeypatch):
    monkeypatch.setenv("RESNET_TF_FAULT", "step:3")
    for number in range(1, 6):
        faults.at("save.data")
        faults.at("step")
        assert len(killed) == (number >= 3)


def test_the_first_time_by_default(killed, monkeypatch):
    monkeypatch.setenv("RESNET_TF_FAULT", "step")
    faults.at("step")
    faults.at("step")
    assert len(killed) == 1


def test_a_full_disk(killed, monkeypatch):
    monkeypatch.setenv("RESNET_TF_FAULT", "save.sync:1:full")
    with pytest.raises(OSError, match="No space left on device"):
        faults.at("save.sync")
    assert not killed


@pytest.mark.parametrize("allowed", ["", "0", "yes"])
def test_without_the_second_word_it_is_left_alone_and_said(killed, monkeypatch, capsys, allowed):
    """# fault S9"""
    monkeypatch.setenv("RESNET_TF_FAULT", "step:1")
    monkeypatch.setenv("RESNET_TF_TESTING", allowed)
    faults.at("step")
    assert not killed
    assert capsys.readouterr().err == "RESNET_TF_FAULT=step:1 is for tests, and left alone\n"


def test_every_point_is_somewhere_and_no_other():
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "faults.at":
                found.append(node.args[0].value)
    assert sorted(found) == sorted(faults.POINTS)


@pytest.mark.parametrize("asked", ["stepp:1", "step:1:burn"])
def test_what_is_no_point_or_no_kind_tests_nothing_and_is_an_error(killed, monkeypatch, asked):
    monkeypatch.setenv("RESNET_TF_FAULT", asked)
    with pytest.raises(ValueError, match=f"RESNET_TF_FAULT={asked} is no point of save.begin, "):
        faults.at("evaluation")


def test_nonsense_is_left_alone_and_said_once(killed, monkeypatch, capsys):
    """# fault S9"""
    monkeypatch.setenv("RESNET_TF_FAULT", "step:x")
    monkeypatch.delenv("RESNET_TF_TESTING")
    for _ in range(3):
        faults.at("evaluation")
        faults.at("step")
    assert capsys.readouterr().err == "RESNET_TF_FAULT=step:x is for tests, and left alone\n"

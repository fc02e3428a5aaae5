"""docs/faults.md: each row of the fault matrix stands there once, with tests that name it."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"
ROWS = {"A": 16, "B": 10, "C": 19, "D": 17, "E": 10, "F": 15, "G": 13, "H": 15, "P": 6, "S": 10}
EXPECTED = [f"{part}{number}" for part, rows in ROWS.items() for number in range(1, rows + 1)]
_ROW = re.compile(r"^\| ([A-Z]\d+) \| .+ \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_NAMED = re.compile(r"# fault ([A-Z]\d+(?:, [A-Z]\d+)*)")


def rows_of(page):
    """Row and its last cell, in the order of the page."""
    return _ROW.findall(page)


def named(text):
    """The rows that a piece of source names."""
    return {row for found in _NAMED.findall(text) for row in found.split(", ")}


def rows_of_tests(source):
    """Of each test function of a file, the rows that it, or a comment of the module, names."""
    lines = source.splitlines()
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    spans, inside = {}, set()
    for function in functions:
        first = min([function.lineno, *(node.lineno for node in function.decorator_list)]) - 1
        while first and lines[first - 1].startswith("#"):
            first -= 1
        spans[function.name] = range(first, function.end_lineno)
        inside.update(spans[function.name])
    module = named("\n".join(line for i, line in enumerate(lines) if i not in inside))
    return {
        name: module | named("\n".join(lines[span.start : span.stop]))
        for name, span in spans.items()
        if name.startswith("test_")
    }


def slow_tests(source):
    """Names of the tests of a file that no usual run makes."""
    return {
        node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)
        if any(ast.unparse(decorator) == "pytest.mark.slow" for decorator in node.decorator_list)
    }  # fmt: skip


def missing(page, root=ROOT):
    """What is wrong with a page, a line each."""
    rows = rows_of(page)
    faults = [
        f"{row} stands there {count} times"
        for row in EXPECTED
        if (count := sum(found == row for found, _ in rows)) != 1
    ]
    for row, cell in rows:
        tests = _TEST.findall(cell)
        if not tests and not re.match(r"none: \w.{10,}", cell):
            faults.append(f"{row} has neither a test nor a reason")
        if tests and all(
            (root / file).is_file() and name in slow_tests((root / file).read_text())
            for file, name in tests
        ):
            faults.append(f"{row} is proved by slow tests alone")
        for file, name in tests:
            path = root / file
            found = rows_of_tests(path.read_text(encoding="utf-8")) if path.is_file() else {}
            if name not in found:
                faults.append(f"{row}: there is no {file}::{name}")
            elif row not in found[name]:
                faults.append(f"{row}: {file}::{name} does not name it")
    return faults


@pytest.fixture(scope="module")
def page():
    return PAGE.read_text(encoding="utf-8")


def test_every_row_has_its_tests_or_a_reason(page):
    assert missing(page) == []


def test_no_test_names_a_row_that_there_is_not(page):
    rows = {row for row, _ in rows_of(page)}
    for path in (ROOT / "tests").rglob("*.py"):
        if path.name != pathlib.Path(__file__).name:
            assert named(path.read_text(encoding="utf-8")) <= rows, path


SOURCE = '''
# fault A3: of all tests of the file


def helper():
    """# fault A4"""


# fault A1
@decorated
def test_one():
    """# fault A2, B1: and why"""


def test_two():
    pass
'''


def test_which_rows_a_test_names():
    found = rows_of_tests(SOURCE)
    assert found == {"test_one": {"A1", "A2", "A3", "B1"}, "test_two": {"A3"}}


@pytest.mark.parametrize("change, fault", [
    (lambda page: re.sub(r"(?m)^\| A11 .*\n", "", page), "A11 stands there 0 times"),
    (lambda page: re.sub(r"(?m)^(\| H5 .*\n)", r"\1\1", page), "H5 stands there 2 times"),
    (lambda page: re.sub(r"(?m)^(\| B9 .*\|).*\|$", r"\1 none |", page),
     "B9 has neither a test nor a reason"),
    (lambda page: page.replace("::test_a_run_that_hangs", "::test_a_run_that_hung"),
     "B9: there is no tests/test_watchdog.py::test_a_run_that_hung_ends_with_70_and_goes_on"),
    (lambda page: page.replace("tests/test_journal.py", "tests/test_diary.py"),
     "H11: there is no tests/test_diary.py::"
     "test_a_disk_that_is_full_costs_one_line_and_no_run"),
    (lambda page: re.sub(r"(?m)^\| B9 (.*)\|.*\|$", r"| B9 \1| `tests/test_watchdog.py::"
                         r"test_beats_in_time` |", page),
     "B9: tests/test_watchdog.py::test_beats_in_time does not name it"),
    (lambda page: re.sub(r"(?m)^\| A9 (.*)\|.*\|$", r"| A9 \1| `tests/scripts/test_kills.py::"
                         r"test_one_run_killed_at_each_stage_in_turn` |", page),
     "A9 is proved by slow tests alone"),
])  # fmt: skip
def test_what_is_missing_is_found(page, change, fault):
    assert fault in missing(change(page))

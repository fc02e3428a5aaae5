"""A sample of each campaign of `make test-faults`, in one process that forks the runs."""

import json
import pathlib
import subprocess
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
# Cases of each.
SAMPLES = {
    "kills": 20, "stages": 12, "over_and_over": 2, "flips": 100, "full_disks": 2, "sigterms": 5,
    "starts": 2, "not_finite": 4, "mismatches": 4, "overload": 1,
    "victims": 3, "restarts": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_holds(name):
    """# fault A1, A8, F3, F5"""
    process = subprocess.run(
        [sys.executable, "-m", "campaigns", f"--count={SAMPLES[name]}", "--steps=240",
         "--workers=1", name],
        cwd=TESTS, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert result["held"] == result["cases"] > 0 and result["failures"] == []


def test_a_campaign_that_is_none():
    process = subprocess.run(
        [sys.executable, "-m", "campaigns", "nosuch"], cwd=TESTS, capture_output=True, text=True
    )
    assert process.returncode == 2 and "no campaign is called nosuch" in process.stderr


def test_cases_that_do_not_hold_are_counted_and_kept(tmp_path):
    sys.path.insert(0, str(TESTS))
    from campaigns import campaign

    def case(place, number):
        (place / "file").touch()
        assert number % 2, "it is even"
        return {"number": number}

    result = campaign.run("some", "all are odd", case, range(4), tmp_path, 2,
                          lambda found: str(sorted(fact["number"] for fact in found)))  # fmt: skip
    assert (result.cases, result.held, result.figures) == (4, 2, "[1, 3]")
    assert len(result.failures) == 2 and "it is even" in result.failures[0]
    left = sorted(path.name for path in (tmp_path / "some").iterdir())
    assert left == ["0", "2"]

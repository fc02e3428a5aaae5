"""The data doctor's script: exit codes, streams, flags."""

import json

import pytest
import record_files as files


def lines(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_embedded_digits_are_sound(script):
    done = script("data/check.py", "--data_dir=data/digits")
    assert done.returncode == 0, done.stderr
    (result,) = lines(done)
    assert result["event"] == "checked"
    assert result["data_dir"] == "data/digits"
    assert result["records"] == {"train": 1437, "test": 360}
    assert (result["errors"], result["warnings"]) == (0, 0)
    assert result["mean"] == [77.8856]
    assert "nothing found" in done.stderr


def test_errors_end_in_65_and_are_lines_on_both_streams(tmp_path, script):
    payloads = files.sound_records(6)
    payloads[4] = files.record(b"GIF89a", 0, "a\nb.gif")
    files.write_set(tmp_path / "set", payloads)
    page = tmp_path / "page.html"
    done = script("data/check.py", f"--data_dir={tmp_path / 'set'}", f"--html={page}")
    assert done.returncode == 65
    *findings, result = lines(done)
    (error,) = [finding for finding in findings if finding["severity"] == "error"]
    assert error == {
        "event": "finding",
        "severity": "error",
        "kind": "other-format",
        "file": "train-00000-of-00001.tfrecord",
        "record": 4,
        "offset": files.frames(payloads)[4],
        "key": "a\nb.gif",
        "what": "it is neither JPEG nor PNG but GIF",
    }
    assert (result["event"], result["errors"]) == ("checked", 1)
    assert "record 4, byte" in done.stderr
    assert "a\\nb.gif: it is neither JPEG nor PNG but GIF" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("ERROR 65: 1 error, ")
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_strict_makes_warnings_count(tmp_path, script):
    files.write_set(tmp_path, files.sound_records(6))  # its mean is not the stated one
    arguments = ["data/check.py", f"--data_dir={tmp_path}", "--split=train", "--workers=1"]
    done = script(*arguments, "--strict")
    assert done.returncode == 65
    assert "0 errors, 2 warnings" in done.stderr
    assert lines(done)[-1]["warnings"] == 2


def test_foreign_set_becomes_usable(tmp_path, script):
    payloads = [
        files.example(image__encoded=files.png(i), image__class__label=i % 2 + 1) for i in range(6)
    ]
    files.write_shard(tmp_path / "train-00000-of-00001", payloads)
    (tmp_path / "names.txt").write_text("n01\tant\nn02\tbee\n")
    arguments = [
        f"--data_dir={tmp_path}",
        "--write_manifest",
        f"--classes={tmp_path / 'names.txt'}",
    ]
    done = script("data/check.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert "label offset 1 (labels run from 1 to 2)" in done.stderr
    manifest = json.loads((tmp_path / "dataset.json").read_text())
    assert (manifest["classes"], manifest["label_offset"]) == (["ant", "bee"], 1)
    again = script("data/check.py", f"--data_dir={tmp_path}", "--write_manifest")
    assert again.returncode == 73
    assert json.loads(again.stdout.splitlines()[-1])["event"] == "checked"


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 64, "data_dir must be given | --data_dir"),
        (
            ["--data_dir=x", "--max_image_pixels=0"],
            64,
            "max_image_pixels must be from 1 to 89478485, got 0",
        ),
        (["--data_dir=x", "--max_image_pixels=89478486"], 64, "from 1 to 89478485, got 89478486"),
        (["--data_dir=x", "--workers=-1"], 64, "workers must be 0 or more, got -1"),
        (["--data_dir=x", "--label_offset=9999999999"], 64, "label_offset must be at most"),
        (["--data_dir=x", "--write_manifest", "--no_decode"], 64, "it excludes --no_decode"),
        (["--data_dir=x", "--write_manifest", "--split=a"], 64, "it excludes --split"),
        (["--data_dir=x", "--splt=a"], 64, "splt"),
        (["--data_dir={tmp}/none"], 66, "the data directory does not exist"),
        (["--data_dir={tmp}", "--html={tmp}/none/x"], 73, "there is no such directory to write"),
    ],
)
def test_mistake_is_one_line(tmp_path, script, arguments, code, text):
    done = script("data/check.py", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode == code
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ERROR {code}: ")
    assert text in line
    assert list(tmp_path.iterdir()) == []

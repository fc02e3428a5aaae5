"""The page: whole, escaped, of bounded size, and with pictures that can be shown."""

import base64
import html.parser
import re

import pytest
import record_files as files

from resnet_tf import inspection
from resnet_tf.errors import UserError
from resnet_tf.inspection import page

import tensorflow as tf  # isort: skip

_VOID = {"meta", "img", "br", "link"}


class Structure(html.parser.HTMLParser):
    """Refuses tags that are not closed in order; collects what the page refers to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        self.sources += [attributes[name] for name in ("src", "href") if name in attributes]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page_of(directory, **options):
    return page.page_of(inspection.check(directory, inspection.Options(**options)))


def test_page_of_a_sound_set(tmp_path):
    files.write_set(tmp_path, files.sound_records(60), files.sound_records(6, 90))
    text = page_of(tmp_path)
    structure = Structure(text)
    assert "script" not in structure.tags
    assert len(structure.sources) == 3 * 8  # eight of each class
    for source in structure.sources:
        head, _, data = source.partition(",")
        assert head == "data:image/jpeg;base64"
        assert tf.io.decode_jpeg(base64.b64decode(data)).shape == (6, 5, 3)
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    assert "train 60, test 6" in text
    assert re.search(r"<td>bee</td><td class=\"number\">20</td><td class=\"number\">2</td>", text)


def test_everything_from_the_data_is_escaped(tmp_path):
    bad = "<script>alert(1)</script>"
    classes = (bad, '"quoted" & <b>', "c\nd")
    payloads = [files.record(files.png(i), i % 3, bad, text="") for i in range(6)]
    payloads.append(files.record(b"GIF89a", 0, bad + "\n'\""))
    files.write_set(tmp_path, payloads, classes=classes)
    text = page_of(tmp_path)
    structure = Structure(text)
    assert "script" not in structure.tags
    assert "b" in structure.tags  # ours
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&quot;quoted&quot; &amp; &lt;b&gt;" in text
    assert "c\\nd" in text
    assert "other-format" not in text
    assert "pictures that are neither JPEG nor PNG: 1" in text


def test_large_pictures_become_thumbnails_and_the_size_is_bounded(tmp_path, monkeypatch):
    payloads = [files.record(files.jpeg(i, 200, 100), i % 3, f"{i}") for i in range(30)]
    files.write_set(tmp_path, payloads)
    sources = Structure(page_of(tmp_path)).sources
    assert len(sources) == 24
    data = base64.b64decode(sources[0].partition(",")[2])
    assert tf.io.decode_jpeg(data).shape == (72, 36, 3)
    monkeypatch.setattr(page, "_MOST_BYTES", 8000)
    fewer = Structure(page_of(tmp_path)).sources
    assert 3 <= len(fewer) < 24
    assert sum(map(len, fewer)) < 8000 + 100 * len(fewer)


def test_many_findings_and_classes_are_counted_not_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_MOST_FINDINGS", 3)
    monkeypatch.setattr(page, "_MOST_CLASSES", 2)
    files.write_set(tmp_path, [files.record(b"GIF", 0, f"{i}") for i in range(9)] + files.sound_records(9))  # fmt: skip  # noqa: E501
    text = page_of(tmp_path)
    assert "… and 6 more" in text
    assert len(Structure(text).sources) == 6


def test_set_without_a_usable_picture(tmp_path):
    files.write_set(tmp_path, [files.record(b"GIF", 0)])
    text = page_of(tmp_path)
    assert Structure(text).sources == []
    assert "not measured" in text


def test_page_that_cannot_be_written(tmp_path):
    files.write_set(tmp_path / "set", files.sound_records(3))
    report = inspection.check(tmp_path / "set")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the page") as caught:
        page.write(tmp_path / "file" / "page.html", report)
    assert caught.value.code == 73

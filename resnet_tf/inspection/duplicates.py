"""The same encoded bytes more than once: inside a split, and in more than one split."""

import numpy as np

from resnet_tf.inspection.findings import Findings
from resnet_tf.inspection.reading import Reader
from resnet_tf.inspection.survey import Survey, Table


def check(survey: Survey, findings: Findings, reader: Reader) -> None:
    """Adds a finding for each picture that came before: "duplicate" where it was in the same
    split, "leakage" where it was in an earlier one."""
    for group in _groups(survey.tables):
        by_split: dict[str, tuple[Table, int]] = {}
        for table, number in group:
            earlier = by_split.get(table.split)
            kind = "duplicate" if earlier else "leakage"
            earlier = earlier or next(iter(by_split.values()), None)
            by_split.setdefault(table.split, (table, number))
            if earlier:
                what = f"same bytes as {_name(*earlier, reader)}"
                if _label(*earlier) != _label(table, number):
                    what += f", labelled {_label(*earlier)} there and {_label(table, number)} here"
                findings.add(kind, what, **reader.place(table, number))


def check_shards(survey: Survey, findings: Findings) -> None:
    """Adds a finding for each shard that has the bytes of an earlier one."""
    seen: dict[str, str] = {}
    for shard in (shard for shards in survey.shards.values() for shard in shards):
        if (first := seen.setdefault(shard.sha256, shard.file)) != shard.file:
            findings.add("same-shard", f"same bytes as {first}", file=shard.file)


def _label(table: Table, number: int) -> int:
    return int(table.rows["label"][number])


def _name(table: Table, number: int, reader: Reader) -> str:
    key = reader.record(table, number).key
    return f"{table.file}, record {number}" + (f", {key}" if key else "")


def _groups(tables: list[Table]):
    """Lists of (table, record) with equal digests, in the order of the shards."""
    if not tables:
        return
    usable = [np.flatnonzero(table.rows["usable"]) for table in tables]
    digests = np.concatenate([t.rows["digest"][rows] for t, rows in zip(tables, usable)])
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable
    same = (digests[order[1:]] == digests[order[:-1]]).all(axis=1)
    del digests
    ends = np.cumsum([len(rows) for rows in usable])
    starts = np.flatnonzero(same & ~np.concatenate([[False], same[:-1]])) if len(same) else []
    for start in sorted(starts, key=lambda start: order[start]):
        end = start + 1
        while end <= len(same) and same[end - 1]:
            end += 1
        group = []
        for position in order[start:end]:
            shard = int(np.searchsorted(ends, position, side="right"))
            before = ends[shard - 1] if shard else 0
            group.append((tables[shard], int(usable[shard][position - before])))
        yield group

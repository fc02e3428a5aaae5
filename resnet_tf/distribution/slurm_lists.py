"""Lists of nodes and of tasks, as Slurm writes them."""

import re

MOST = 100_000  # nodes


def expand_nodes(text: str) -> list[str]:
    """The hosts of a Slurm list: a[08-10,12],b is a08, a09, a10, a12 and b.

    Raises:
      ValueError: for what is no such list.
    """
    hosts = []
    parts = re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text)
    for part in parts:
        groups = re.split(r"\[([^\]]*)\]", part)
        found = [groups[0]]
        for inside, after in zip(groups[1::2], groups[2::2]):
            numbers = [number for item in inside.split(",") for number in _numbers(item)]
            found = [f"{host}{number}{after}" for host in found for number in numbers]
            if len(found) > MOST:
                raise ValueError(f"{text} has too many nodes")
        hosts += found
    whole = hosts and ",".join(parts) == text
    if not whole or any(not re.fullmatch(r"[\w.-]+", host) for host in hosts):
        raise ValueError(f"{text!r} is no list of nodes")
    return hosts


def _numbers(item: str) -> list[str]:
    first, dash, last = item.partition("-")
    if not dash:
        return [str(int(first)).zfill(len(first))]
    if not 0 <= int(last) - int(first) < MOST:
        raise ValueError(f"{item} is no range")
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def expand_tasks(text: str) -> list[int]:
    """Tasks of each node: 2(x3),1 is 2, 2, 2 and 1.

    Raises:
      ValueError: for what is no such list.
    """
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match or int(match[2] or 1) > MOST:
            raise ValueError(f"{text!r} is no list of tasks")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts

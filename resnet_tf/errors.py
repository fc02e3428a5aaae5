"""Errors that a user can act on, and the exit code of each.

A `UserError` is printed as one line, `ERROR <code>: what | where | what to do`,
followed by `details` (a table, say) where there are any. Scripts never show a
traceback for one unless `--v=1` asks for it.
"""

from collections.abc import Sequence

# Exit codes are part of the command contract: other programs script against them.
BAD_FLAGS = 64
BAD_DATA = 65
MISSING_INPUT = 66
INTERNAL = 70
CANNOT_CREATE = 73
IO_ERROR = 74
RESUMABLE = 75
NUMERICAL = 76
NOT_WRITABLE = 77
MISMATCH = 78
INTERRUPTED = 130
TERMINATED = 143


class UserError(Exception):
    """Something that the person at the keyboard can mend.

    Args:
      code: the exit code, one of the constants of this module.
      what: what is wrong, with the value that was found.
      where: the file, flag or step.
      remedy: what to do.
      details: further lines, such as a table; none by default.
    """

    def __init__(self, code: int, what: str, where: str, remedy: str, details: str = ""):
        self.code, self.what, self.where, self.remedy = code, what, where, remedy
        self.details = details
        line = " | ".join(plain(part) for part in (what, where, remedy))
        super().__init__(f"ERROR {code}: {line}")

    def adding(self, remedy: str) -> "UserError":
        """The same with something more to do."""
        return UserError(self.code, self.what, self.where, f"{self.remedy}; {remedy}", self.details)

    def calling(self, old: object, new: object) -> "UserError":
        """The same with another name for what is called `old`."""
        texts = (self.what, self.where, self.remedy, self.details)
        return UserError(self.code, *(str(text).replace(str(old), str(new)) for text in texts))


def bad_flag(name: str, rule: str, found: object = None) -> UserError:
    """The error for a flag whose value breaks a rule."""
    what = f"{name} {rule}" if found is None else f"{name} {rule}, got {found}"
    return UserError(BAD_FLAGS, what, f"--{name}", "see --helpfull for its meaning")


def table(rows: Sequence[Sequence[str]], most: int = 60) -> str:
    """Rows of cells as aligned columns, indented; what is beyond `most` rows is counted.

    Cells are harmless to a terminal, as `plain` makes them.
    """
    rows = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in rows[:most]
    ]
    return "\n".join(lines + ([f"  … and {len(rows) - most} more"] if len(rows) > most else []))


def plain(text: object) -> str:
    """The text on one line and harmless to a terminal: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))

"""What a command does in a directory that may hold a run already.

1. No commit: start at step 0.
2. The newest commit that verifies is resumed. Newer ones that are damaged are set aside
   under another name, and said.
3. Commits, but none that verifies: error 78, never step 0.
4. Another network, other data, other classes, or a changed flag that makes it another run:
   error 78. Harmless flags (see `Config.changes`) may change.
5. Other devices, threads, versions or another CPU: it goes on, but not to the same last bits,
   which is said. The examples are the same in the same order, unless it is another version of
   resnet_tf that orders them otherwise (0.1.0 did).
6. A commit at or beyond the end: the run is complete, and nothing is written; beyond the end
   is error 64.
"""

import pathlib
from collections.abc import Callable

from resnet_tf import checkpoint, errors
from resnet_tf.checkpoint import Commit, commit
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.preprocessing import Preprocessing

Damaged = list[tuple[pathlib.Path, str]]


def choose(config: Config) -> tuple[Commit | None, Damaged]:
    """The commit to resume from, None where there is none, and newer ones that are damaged.

    Raises:
      UserError: 78 where nothing verifies, 73 where a file is in the place of a directory.
    """
    model_dir = pathlib.Path(config.model_dir)
    for directory in (model_dir, model_dir / "checkpoints"):
        if directory.exists() and not directory.is_dir():
            what = f"the {'model' if directory == model_dir else 'commits'} directory is a file"
            raise UserError(errors.CANNOT_CREATE, what, directory, "give another --model_dir")
    damaged: Damaged = []
    return checkpoint.newest(model_dir / "checkpoints", damaged), damaged


def set_aside(damaged: Damaged, chosen: Commit, say: Callable[[str], None]) -> None:
    """Renames damaged commits, once it is certain that training goes on from `chosen`."""
    for path, reason in damaged:
        aside = commit.set_aside(path)
        say(f"{path.name} is damaged ({reason}); kept as {aside.name}, going on from"
            f" {chosen.path.name}")  # fmt: skip


def refuse_mismatch(chosen: Commit, config: Config, describe: dict, total_steps: int) -> None:
    """Raises UserError where `chosen` is not the earlier part of the run that is asked for.

    Args:
      chosen: the commit.
      config: of this command.
      describe: manifest fields that this command would write.
      total_steps: at which this command would end.
    """
    saved = chosen.manifest
    if saved["config"] is None:
        raise _mismatch(
            chosen, "the directory holds weights, not a run", "give another --model_dir"
        )
    then, now = saved["architecture"], describe["architecture"]
    if then != now:
        difference = ", ".join(
            f"{key} {then.get(key)} and not {now[key]}" for key in now if then.get(key) != now[key]
        )
        remedy = f"give --model={then['model']} with its options, or another --model_dir"
        raise _mismatch(chosen, f"the run here has {difference}", remedy)
    changes = Config.from_json(saved["config"]).changes(config)
    if changes:
        difference = ", ".join(f"--{k}={old} and not {new}" for k, (old, new) in changes.items())
        raise _mismatch(
            chosen, f"the run here has {difference}", "give its flags, or another --model_dir"
        )
    same_data = (
        saved["classes"] == describe["classes"]
        and _pictures(saved) == _pictures(describe)
        and saved["data"]["fingerprint"] == describe["data"]["fingerprint"]
    )
    if not same_data:
        remedy = f"give --data_dir={saved['data']['directory']}, or another --model_dir"
        raise _mismatch(chosen, "the run here was trained on other data", remedy)
    if chosen.step > total_steps:
        raise UserError(
            errors.BAD_FLAGS,
            f"the run here has {chosen.step} steps already, more than {total_steps}",
            chosen.path,
            "give more --steps, or another --model_dir",
        )


def _pictures(fields: dict) -> Preprocessing:
    return Preprocessing.from_json(fields["preprocessing"])


def inexact(chosen: Commit, describe: dict) -> str:
    """Why the bits may differ from those of an undisturbed run; empty where they will not."""
    then, now = chosen.manifest["environment"], describe["environment"]
    return ", ".join(
        f"{key} {now[key]} and not {then.get(key)}" for key in now if then.get(key) != now[key]
    )


def _mismatch(chosen: Commit, what: str, remedy: str) -> UserError:
    return UserError(errors.MISMATCH, what, chosen.path, remedy)

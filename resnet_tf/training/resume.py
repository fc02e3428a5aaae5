"""What a command does in a directory that may hold a run already.

1. Nothing, or nothing that was ever committed: start at step 0.
2. The newest commit that verifies is resumed. Newer ones that are damaged are set aside
   under another name, and said; with --strict_resume they are error 74.
3. Commits, but none that verifies, or none left where there were some, or one in another
   place, or checkpoints of another program: error 78, never step 0.
4. Another network or other classes: error 78. Other data, or a changed flag that makes it another
   run: error 78 with a table, unless --allow_change names it; then it is recorded in the
   journal and in the commits. Harmless flags (see `Config.changes`) may change, and are said.
5. Other devices, threads, versions or another CPU: it goes on, but not to the same last bits,
   which is said; with --require_exact it is error 78. The examples are the same in the same
   order, unless it is another version of resnet_tf that orders them otherwise (0.1.0 did).
6. A commit at the end: the run is complete, and nothing is written. One beyond it is error 64.
"""

import dataclasses
import pathlib
from collections.abc import Callable

from resnet_tf import checkpoint, errors
from resnet_tf.checkpoint import Commit, naming
from resnet_tf.checkpoint.commit import MANIFEST
from resnet_tf.config import Config
from resnet_tf.errors import UserError
from resnet_tf.preprocessing import Preprocessing
from resnet_tf.reporting import journal as journals

Damaged = list[tuple[pathlib.Path, str]]

# What other programs call their checkpoints.
_FOREIGN = (".index", ".h5", ".keras", ".pt", ".pth", ".ckpt", ".meta")
_RESTORE = "restore one of them, or choose another --model_dir to start anew"


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
    chosen = checkpoint.newest(model_dir / "checkpoints", damaged)
    if chosen is None:
        _refuse_lost_or_foreign(model_dir)
    elif damaged and config.strict_resume:
        path, reason = damaged[0]
        raise UserError(
            errors.IO_ERROR,
            f"{path.name} is damaged ({reason}), and {chosen.path.name} is before it",
            path,
            "leave out --strict_resume to go on from there",
        )
    return chosen and checkpoint.described(chosen, "data", "config"), damaged


def _refuse_lost_or_foreign(model_dir: pathlib.Path) -> None:
    """Never step 0 where something was trained already, by this program or another one."""
    for directory in (model_dir, model_dir / "checkpoints"):
        for path in sorted(directory.iterdir()) if directory.is_dir() else ():
            if path.name == "checkpoint" or path.suffix in _FOREIGN:
                what = "there are checkpoints here, but no commit of this program"
                remedy = "give another --model_dir; tools/import_weights.py reads weights of others"
                raise UserError(errors.MISMATCH, what, path, remedy)
            if ".corrupt-" in path.name:
                what = "all commits here were damaged and set aside"
                raise UserError(errors.MISMATCH, what, path, _RESTORE)
            if (path / MANIFEST).exists() and not naming.was_begun(path):
                what = "there is a commit here, but not under its name in checkpoints/"
                remedy = "name it checkpoints/step_ and nine digits, or give another --model_dir"
                raise UserError(errors.MISMATCH, what, path, remedy)
    saved = [event for event in journals.read(model_dir) if event.get("event") == "save"]
    if saved:
        what = f"the journal tells of a commit of step {saved[-1].get('step')}, and there is none"
        raise UserError(errors.MISMATCH, what, model_dir, _RESTORE)


def set_aside(damaged: Damaged, chosen: Commit, say: Callable[[str], None]) -> None:
    """Renames damaged commits, once it is certain that training goes on from `chosen`."""
    for path, reason in damaged:
        aside = naming.set_aside(path)
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
    if saved["classes"] != describe["classes"]:
        remedy = f"give --data_dir={saved['data']['directory']}, or another --model_dir"
        raise _mismatch(chosen, "the run here was trained on other classes", remedy)
    changes = _changes(chosen, config, describe)
    refused = {name: pair for name, pair in changes.items() if name not in config.allow_change}
    if refused:
        rows = [("", "the run here", "now"), *(
            (name if name == "data" else f"--{name}", str(old), str(new))
            for name, (old, new) in refused.items())]  # fmt: skip
        raise _mismatch(
            chosen,
            f"the run here has {_other(refused)}",
            f"give its flags, or another --model_dir, or --allow_change={','.join(refused)}",
            errors.table(rows),
        )
    if chosen.step > total_steps:
        raise UserError(
            errors.BAD_FLAGS,
            f"the run here has {chosen.step} steps already, more than {total_steps}",
            chosen.path,
            "give more --steps, or another --model_dir",
        )


def _changes(chosen: Commit, config: Config, describe: dict) -> dict[str, tuple]:
    """What makes it another run: flags, and `data`, each as it was and is."""
    saved = chosen.manifest
    changes = Config.from_json(saved["config"]).changes(config)
    then, now = saved["data"], describe["data"]
    if then["fingerprint"] != now["fingerprint"] or _pictures(saved) != _pictures(describe):
        changes["data"] = then["directory"], now["directory"]
    return changes


def _other(changes: dict[str, tuple]) -> str:
    """One line of them; where only the data differs, the flags need not be told."""
    flags = [f"--{k}={old} and not {new}" for k, (old, new) in changes.items() if k != "data"]
    return ", ".join([*flags, *(["other data"] if "data" in changes else [])])


def changes_of(
    chosen: Commit, config: Config, describe: dict, say: Callable[[str], None]
) -> list[dict]:
    """What --allow_change let differ, now and before, for the commits: {"step", "changes"}.

    Says these and the harmless flags that differ.
    """
    changes = _changes(chosen, config, describe)
    then = Config.from_json(chosen.manifest["config"])
    told_only = [*_HARMLESS, "steps", "epochs", "examples"]
    pairs = {name: (getattr(then, name), getattr(config, name)) for name in told_only}
    told = changes | {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if told:
        say("changed: " + ", ".join(f"{name} {a} -> {b}" for name, (a, b) in told.items()))
    if then.examples_a_step != config.examples_a_step:
        begin, seen = (chosen.step * each.examples_a_step for each in (config, then))
        say(f"the next batch begins at example {begin:,} of the order, and not at {seen:,};"
            " epochs and examples are counted as if all steps had had the new number")  # fmt: skip
    now = [{"step": chosen.step, "changes": {k: list(pair) for k, pair in changes.items()}}]
    return [*chosen.manifest.get("changes", []), *(now if changes else [])]


_HARMLESS = [
    field.name
    for field in dataclasses.fields(Config)
    if field.metadata["harmless"] and field.name not in ("recipe", "model_dir", "allow_change")
]


def _pictures(fields: dict) -> Preprocessing:
    return Preprocessing.from_json(fields["preprocessing"])


def inexact(chosen: Commit, describe: dict) -> str:
    """Why the bits may differ from those of an undisturbed run; empty where they will not."""
    then, now = chosen.manifest["environment"], describe["environment"]
    return ", ".join(
        f"{key} {now[key]} and not {then.get(key)}" for key in now if then.get(key) != now[key]
    )


def tell_or_refuse_inexact(
    chosen: Commit, describe: dict, config: Config, say: Callable[[str], None]
) -> None:
    """Says why the bits may differ; with --require_exact raises UserError 78 instead."""
    if not (reason := inexact(chosen, describe)):
        return
    if config.require_exact:
        remedy = "go on where and how the run began, or leave out --require_exact"
        raise _mismatch(chosen, f"not bit-exact: {reason}", remedy)
    say(f"not bit-exact from here on: {reason}")


def _mismatch(chosen: Commit, what: str, remedy: str, details: str = "") -> UserError:
    return UserError(errors.MISMATCH, what, chosen.path, remedy, details)

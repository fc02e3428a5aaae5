"""Writes a data set: shards of records, then their manifest, then its final name."""

import concurrent.futures
import os
import pathlib
from collections import Counter
from collections.abc import Sequence

import tensorflow as tf

from resnet_tf import errors, runtime
from resnet_tf.errors import UserError
from resnet_tf.input.manifest import Manifest
from resnet_tf.preparation import examination, plan, shard, staging
from resnet_tf.preparation.picture import Listing
from resnet_tf.preparation.progress import Progress
from resnet_tf.preparation.recode import Recode
from resnet_tf.preparation.shard import Task, Written
from resnet_tf.preparation.statistics import Statistics


def write_dataset(
    output: str | os.PathLike,
    listing: Listing,
    *,
    seed: int = 0,
    recode: Recode | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Writes a listing as records with a manifest, complete or not at all.

    Records of a split are put in a seeded random order over all its shards of about 100 MB,
    so that any stretch of a shard holds every class. The same listing, seed and recoding
    always give the same bytes. Without `recode` the pictures' bytes are kept as they are.

    Mean and standard deviation are those of "train", or of the first split: over all its
    pictures where they have up to about 100 million pixels, else over a random sample of so
    many. The header of every picture is looked at; only those that are measured or recoded
    are decoded.

    Killed, interrupted, or stopped by a full disk in the middle, the same call goes on after
    the shards that are finished.

    Args:
      output: directory to make; must not exist.
      listing: classes and pictures.
      seed: of the order on disk.
      recode: how to encode the pictures anew.
      skip_bad: leave out the pictures that cannot be used, and name them.
      workers: shards that are written at a time; default: one a core. No more are used than
        there are shards.
      progress: is told what is done; default: silence.

    Raises:
      UserError: 73 where `output` exists, cannot be made, or is being made; 65 for pictures
        that cannot be used, all named at once; 74 where the disk is too small or fails.
        Nothing is left behind but, where the disk failed, shards that were finished.
    """
    output, progress = pathlib.Path(output), progress or Progress()
    staging.refuse_existing(output)
    _refuse_unwritable(listing)
    planned = plan.make(listing, seed, recode, skip_bad)
    task = Task(tuple(listing.classes), recode, skip_bad, progress)
    for other in staging.others(output, planned.fingerprint):
        progress.say(f"{other} is of another command that runs, or was ended; it may be deleted")
    there = staging.bytes_there(output, planned.fingerprint)
    staging.refuse_small_disk(output, planned.size_on_disk() - there)
    with staging.opened(output, planned.fingerprint) as place:
        try:
            written = _shards(place, planned, task, workers or runtime.available_cores())
            manifest = _manifest(place.data, listing, planned, written)
            manifest.save()
            place.publish(output)
        except (OSError, tf.errors.OpError) as error:
            _say_what_is_kept(place, progress)
            raise UserError(
                errors.IO_ERROR,
                f"writing failed: {error}",
                output,
                "free some space and start again",
            ) from error
        except KeyboardInterrupt:
            _say_what_is_kept(place, progress)
            raise
        finally:
            progress.close()
    _remark(planned, written, task)
    return Manifest.load(output)


def _say_what_is_kept(place: staging.Staging, progress: Progress) -> None:
    if place.has_finished_shards():
        progress.say(f"the same command goes on from what is in {place.directory}")


def _refuse_unwritable(listing: Listing) -> None:
    for what, name, remedy in [
        ("the data set's name", listing.name, "give --name"),
        *(("a class's name", name, "rename its folder") for name in listing.classes),
    ]:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UserError(errors.BAD_DATA, f"{what} is not UTF-8", repr(name), remedy) from error
    shared = [name for name, count in Counter(listing.classes).items() if count > 1]
    if shared:
        what, remedy = f"two classes are called {shared[0]!r}", "give each class its own name"
        raise UserError(errors.BAD_DATA, what, "input", remedy)
    for split, pictures in listing.splits.items():
        if not len(pictures):
            raise _empty(split)


def _empty(split: str) -> UserError:
    return UserError(
        errors.BAD_DATA, f"the split {split!r} has no records", "input", "give pictures for it"
    )


def _shards(place: staging.Staging, planned: plan.Plan, task: Task, workers: int) -> list[Written]:
    """All shards in the plan's order: those of an earlier start, and the others made now."""
    done = {file: Written.from_json(note) for file, note in place.recover().items()}
    if done:
        task.progress.say(f"going on: {len(done)} of {len(planned.shards)} shards are there")
    missing = [one for one in planned.shards if one.file not in done]
    rest = plan.Plan(tuple(missing), planned.measured_split, planned.fingerprint)
    task.progress.start(rest.pictures, rest.size)
    with concurrent.futures.ThreadPoolExecutor(max(1, min(workers, len(missing)))) as pool:
        running = {pool.submit(_shard, place, one, task): one for one in missing}
        try:
            for future in concurrent.futures.as_completed(running):
                done[running[future].file] = future.result()
        except BaseException:
            task.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    written = [done[one.file] for one in planned.shards]
    bad = _bad(written)
    if bad and not task.skip_bad:
        raise examination.refusal(bad, planned.pictures)
    return written


def _shard(place: staging.Staging, planned: plan.PlannedShard, task: Task) -> Written:
    made = shard.write(place.data, planned, task)
    if made.shard is not None:
        place.note(made.to_json())
    return made


def _bad(written: Sequence[Written]) -> list[examination.Unusable]:
    return sorted((one for made in written for one in made.bad), key=lambda one: one.filename)


def _manifest(
    directory: pathlib.Path, listing: Listing, planned: plan.Plan, written: Sequence[Written]
) -> Manifest:
    total, splits = Statistics(), dict.fromkeys(listing.splits, ())
    for one, made in zip(planned.shards, written):
        total.add(made.statistics)
        if made.shard.records:
            splits[one.split] += (made.shard,)
        else:  # all of its pictures were bad
            (directory / made.shard.file).unlink()
    for split, shards in splits.items():
        if not sum(part.records for part in shards):
            raise _empty(split)
    return Manifest(
        directory=directory,
        name=listing.name,
        licence=listing.licence,
        classes=tuple(listing.classes),
        label_offset=0,
        splits=splits,
        **total.summary(),
    )


def _emptied(planned: plan.Plan, bad: set[str]) -> set[int]:
    """Labels that have pictures in the measured split, all of them bad."""
    shards = [one for one in planned.shards if one.split == planned.measured_split]
    pictures = [(one.root + p.filename, p.label) for one in shards for p in one.pictures]
    return {label for _, label in pictures} - {label for name, label in pictures if name not in bad}


def _remark(planned: plan.Plan, written: Sequence[Written], task: Task) -> None:
    """Says what was left out, what is odd, and what mean and deviation are taken over."""
    bad, progress = _bad(written), task.progress
    if bad:
        progress.say(f"left out: {len(bad):,} of {planned.pictures:,} pictures")
        progress.say(examination.listed(bad))
        for label in sorted(_emptied(planned, {one.filename for one in bad})):
            name = task.classes[label]
            progress.say(f"nothing is left of the class {name!r} in {planned.measured_split!r}")
    for kind in sorted({kind for made in written for kind in made.odd}):
        names = sorted(name for made in written for name in made.odd.get(kind, ()))
        progress.say(examination.remark(kind, names))
    split = planned.measured_split
    of_split = [m.statistics for p, m in zip(planned.shards, written) if p.split == split]
    measured, there = (sum(getattr(s, n) for s in of_split) for n in ("measured", "pictures"))
    over = "all" if measured == there else f"{measured:,} of"
    progress.say(f"mean and std are taken over {over} {there:,} pictures of {split!r}")
    if split != "train":
        progress.say("there is no split 'train': this set is for evaluation only")

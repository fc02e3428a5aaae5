"""Files that must survive a crash: written through to the disk, and recognised by sha256."""

import hashlib
import os
import pathlib
import tempfile


def sha256_of(path: str | os.PathLike) -> str:
    """sha256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def sync(path: str | os.PathLike) -> None:
    """Waits until a file, or a directory's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str | os.PathLike) -> None:
    """Makes a directory and its parents, each known to the disk; one that is there is fine."""
    path = pathlib.Path(path)
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync(made.parent)


def write_synced(path: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 file and waits until it is on the disk."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def replace_synced(path: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 file under its name in one step: a reader sees the old or the new one."""
    path = pathlib.Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        write_synced(temporary, text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def file_system(path: str | os.PathLike) -> str:
    """Type of the mount that holds a path, by Linux's table; "" where there is none."""
    path, best, kind = os.path.realpath(path), "", ""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                _, mount, type_, *_ = line.split()
                mount = mount.replace("\\040", " ")
                inside = path == mount or path.startswith(mount.rstrip("/") + "/")
                if inside and len(mount) >= len(best):
                    best, kind = mount, type_
    except OSError:
        pass
    return kind


def comes_by_fuse(directory: str | os.PathLike) -> bool:
    """Whether a program stands for the file system, as for object stores, and not the kernel."""
    kind = file_system(directory)
    return kind == "fuse" or kind.startswith("fuse.")


def renames_at_once(directory: str | os.PathLike) -> bool:
    """Whether a directory that is renamed in there has its new name at once, with all in it.

    Disks and network file systems do that. Object stores that are mounted as one rename file by
    file; they come by FUSE, of which nothing is taken for granted.
    """
    return not comes_by_fuse(directory)


def cache_directory() -> pathlib.Path:
    """Where derived files are kept; may be deleted at any time."""
    default = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "resnet_tf")
    try:
        return pathlib.Path(os.environ.get("RESNET_TF_CACHE") or default).expanduser()
    except RuntimeError:  # a user without a home
        return pathlib.Path(tempfile.gettempdir(), "resnet_tf")

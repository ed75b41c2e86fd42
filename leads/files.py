"""Atomic and durable writes, JSON files, locks between processes, and who may read what is written."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from leads.errors import ConfigurationError, Conflict

T = TypeVar("T")

# The permissions that new files and folders lack: all of those of other users.
PRIVATE_UMASK = 0o077


def keep_private() -> None:
    """From now on, only the owner can read what this process and its children create, libraries included."""
    os.umask(PRIVATE_UMASK)


def private_folder(path: Path) -> None:
    """Create a folder and its missing parents, readable only by the owner whatever the umask is.

    Raises:
        ConfigurationError: there is a file in its place, or in that of a parent.
    """
    if path.is_dir():
        return
    private_folder(path.parent)
    try:
        path.mkdir(mode=0o777 & ~PRIVATE_UMASK, exist_ok=True)
    except FileExistsError as error:
        raise ConfigurationError(
            "There is a file where a folder is needed.", field=str(path), remedy="Move it away, then try again."
        ) from error


def readable_by_others(path: Path) -> Path | None:
    """The first file at or below `path` that other users of this host can read or write; None if there is none."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    if not mode & PRIVATE_UMASK or stat.S_ISLNK(mode):
        return None
    if not stat.S_ISDIR(mode):
        return path
    try:
        below = sorted(path.iterdir())
    except OSError:
        return None
    return next((found for one in below if (found := readable_by_others(one)) is not None), None)


def write_atomic(path: Path, write: Callable[[Path], object], *, temporary: Path | None = None) -> None:
    """Let `write` fill a temporary file, make it durable, then rename it to `path`.

    Args:
        path: the final name; an existing file is replaced.
        write: called with the temporary path.
        temporary: the temporary path, on the same file system; default: a hidden file next to `path`.
    """
    private_folder(path.parent)
    draft = temporary or path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically and durably."""
    write_atomic(path, lambda draft: draft.write_bytes(msgspec.json.encode(value)))


def read_json(path: Path, type_: type[T], *, remedy: str) -> T:
    """The value in a JSON file that `write_json` wrote.

    Args:
        remedy: what to do if the file is damaged, for the error.

    Raises:
        ConfigurationError: it can't be read, or holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except OSError as error:
        raise ConfigurationError(
            f"The file can't be read: {error.strerror}.", field=str(path), remedy="Check its permissions."
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The file is damaged: {error}.", field=str(path), remedy=remedy) from error


def sync_folder(folder: Path) -> None:
    """Make changes to the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; waits for other processes. The lock of a dead process is released."""
    import fcntl

    private_folder(path.parent)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def keeping_out(path: Path, *, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Keep every process out that takes `path` by `only_one` or `in_turn`, but not others that keep them out too.

    Args:
        on_wait: called once if such a process has it now. Then this waits until it ends.
    """
    import fcntl

    private_folder(path.parent)
    # A file that exists need not be writable.
    with open(os.open(path, os.O_RDONLY | (0 if path.exists() else os.O_CREAT), 0o600)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of `only_one`.

    Holds a lock for a moment itself. So ask only about a lock whose users try again if somebody else has it.
    """
    import fcntl

    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def only_one(path: Path, *, what: str) -> Iterator[None]:
    """Hold an exclusive lock on `path`, without waiting. The lock of a dead process is released.

    Args:
        what: what the holder does, for the error: "Another process is …".

    Raises:
        Conflict: another process holds it.
    """
    import fcntl

    private_folder(path.parent)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"Another process is {what}.", field=str(path), remedy="Wait until it finishes, or stop it."
            ) from error
        yield


def copy_private(source: Path, target: Path) -> None:
    """Copy a file's contents to a file that only its owner can read.

    Raises:
        OSError: one of them can't be opened, or the disk is full.
    """
    with source.open("rb") as given, open(_private_descriptor(target), "wb") as copied:
        shutil.copyfileobj(given, copied, 1 << 20)


def _private_descriptor(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o777 & ~PRIVATE_UMASK & ~0o111)

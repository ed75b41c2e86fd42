"""Writes a backup: a folder, or an archive if its name ends with `.tar`, `.tar.gz` or `.tar.zst`.

Everything is written to `<name>.unfinished` first. It gets its name when it is complete and durable, so what an
interrupted backup leaves is never taken for a backup.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from leads.backup import manifest
from leads.backup.manifest import BackedUpFile, Manifest
from leads.errors import ConfigurationError, Conflict, Unavailable
from leads.files import copy_private, private_folder, sync_folder

ARCHIVES = (".tar", ".tar.gz", ".tar.zst")
_ARCHIVE, _PART = "archive", "part"


def is_archive(path: Path) -> bool:
    """Whether a backup of this name is one file."""
    return path.name.endswith(ARCHIVES)


class BackupWriter:
    """Adds files to a backup; from `writing`.

    Args:
        draft: the folder to write to.
        archive: where files go after they are written; None: they stay in the folder.
    """

    def __init__(self, draft: Path, archive: tarfile.TarFile | None) -> None:
        self._draft = draft
        self._archive = archive
        self.files: list[BackedUpFile] = []
        self.finished = False

    def add(self, name: str, write: Callable[[Path], object]) -> None:
        """Let `write` fill a file, of which only the owner can read anything."""
        path = self._path(name)
        path.touch(mode=0o600)
        write(path)
        self._keep(name, path)

    def copy(self, name: str, source: Path) -> bool:
        """Copy a file; False if it has been deleted meanwhile.

        Raises:
            ConfigurationError: its name is not UTF-8.
        """
        check_utf8(source)
        path = self._path(name)
        try:
            copy_private(source, path)
        except FileNotFoundError:
            path.unlink(missing_ok=True)
            return False
        self._keep(name, path)
        return True

    def finish(self, made: Manifest) -> None:
        """Add the manifest, as the last file."""
        path = self._path(manifest.NAME)
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1))
        self._store(manifest.NAME, path)
        self.finished = True

    def _path(self, name: str) -> Path:
        path = self._draft / (name if self._archive is None else _PART)
        private_folder(path.parent)
        return path

    def _keep(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.files.append(BackedUpFile(name, path.stat().st_size, digest))
        self._store(name, path)

    def _store(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            if self._archive is None:
                os.fsync(file.fileno())
                return
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = path.stat().st_size, 0o600, int(time.time())
            self._archive.addfile(info, file)
        path.unlink()


@contextmanager
def writing(path: Path) -> Iterator[BackupWriter]:
    """A writer whose backup appears under `path` when the block ends without an error, if `finish` was called.

    Raises:
        Conflict: there is something under this name.
        Unavailable: it can't be written, for example because the disk is full.
    """
    check_utf8(path)
    if path.exists() or path.is_symlink():
        raise Conflict("There is something under this name.", field=str(path), remedy="Choose another name.")
    draft = path.with_name(f"{path.name}.unfinished")
    with disk_errors("The backup can't be written", path.parent):
        private_folder(path.parent)
        try:
            draft.mkdir(mode=0o700)
        except FileExistsError:
            raise Conflict(
                "Another backup of this name is being written, or was interrupted.",
                field=str(draft),
                remedy="If no backup is running, delete this folder.",
            ) from None
        try:
            with ExitStack() as opened:
                yield (writer := BackupWriter(draft, _archive(opened, draft, path.name)))
            if writer.finished:
                _publish(draft, path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def disk_errors(what: str, place: Path) -> Iterator[None]:
    """Translate errors of the file system into Unavailable.

    Args:
        what: what can't be done, the beginning of the message.
    """
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{what}: {error.strerror or error}.",
            field=str(error.filename or place),
            remedy="Check the free space and the permissions.",
        ) from error


def check_utf8(path: Path) -> None:
    """Check that a path can be written down.

    Raises:
        ConfigurationError: it can't.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise ConfigurationError(
            "The name of the file or folder is not UTF-8.", field=shown, remedy="Rename it."
        ) from None


def _archive(opened: ExitStack, draft: Path, name: str) -> tarfile.TarFile | None:
    if not name.endswith(ARCHIVES):
        return None
    path = draft / _ARCHIVE
    path.touch(mode=0o600)
    stream: IO[bytes] | Any
    if name.endswith(".gz"):
        # Most of it is compressed already.
        stream = opened.enter_context(gzip.GzipFile(path, "wb", compresslevel=3))
    elif name.endswith(".zst"):
        import pyarrow as pa

        raw = opened.enter_context(pa.OSFile(str(path), "wb"))
        stream = opened.enter_context(pa.CompressedOutputStream(raw, "zstd"))
    else:
        stream = opened.enter_context(path.open("wb"))
    return opened.enter_context(tarfile.open(fileobj=stream, mode="w|", bufsize=1 << 20))


def _publish(draft: Path, path: Path) -> None:
    """Give the finished backup its name, durably."""
    made = draft / _ARCHIVE if is_archive(path) else draft
    if made.is_file():
        with made.open("rb") as file:
            os.fsync(file.fileno())
    else:
        for folder in (made, *(one for one in made.rglob("*") if one.is_dir())):
            sync_folder(folder)
    os.rename(made, path)
    with suppress(FileNotFoundError):
        draft.rmdir()
    sync_folder(path.parent)

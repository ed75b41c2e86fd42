"""Reads a backup, and verifies that it is what was written."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from leads.backup import manifest
from leads.backup.manifest import BackedUpFile, Manifest
from leads.backup.writing import is_archive
from leads.errors import InvalidInput, NotFound

OnProgress = Callable[[int, int], None]
_CHUNK = 1 << 20
_UNREADABLE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


class Backup(Protocol):
    """A backup whose files are known to be complete and unchanged."""

    manifest: Manifest

    def files(self) -> Iterator[tuple[str, Path]]:
        """The name of each file, in the order in which they were written, and its path until the next one."""
        ...


def open_backup(path: Path, *, on_progress: OnProgress = lambda done, total: None) -> Backup:
    """Open a backup and verify all of its files.

    Args:
        on_progress: called with the bytes read, and their total.

    Raises:
        NotFound: there is nothing under this name.
        InvalidInput: it isn't a backup, or a file is missing or damaged; the error names it.
        ConfigurationError: a newer release made it.
    """
    if path.is_dir():
        return _Folder(path, on_progress)
    if path.is_file() and is_archive(path):
        return _Archive(path, on_progress)
    if path.exists():
        raise InvalidInput(
            "This is not a backup of Lead Serving.",
            field=str(path),
            remedy="Name a folder, or a .tar, .tar.gz or .tar.zst file, that leads backup wrote.",
        )
    raise NotFound("The backup was not found.", field=str(path), remedy="Check its path.")


class _Folder:
    def __init__(self, path: Path, on_progress: OnProgress) -> None:
        self._path = path
        try:
            raw = (path / manifest.NAME).read_bytes()
        except FileNotFoundError:
            raise InvalidInput(
                f"The folder contains no {manifest.NAME}, so it isn't a complete backup.",
                field=str(path),
                remedy="Name a folder that leads backup wrote.",
            ) from None
        self.manifest = manifest.decode(raw, str(path))
        done, total = 0, self.manifest.size
        for file in self.manifest.files:
            try:
                with (path / file.name).open("rb") as stream:
                    _check(file, *_measured(stream), str(path))
            except FileNotFoundError:
                raise manifest.damaged(file.name, "is missing", str(path)) from None
            except OSError as error:
                raise manifest.damaged(file.name, f"can't be read ({error.strerror})", str(path)) from error
            done += file.size
            on_progress(done, total)

    def files(self) -> Iterator[tuple[str, Path]]:
        for file in self.manifest.files:
            yield file.name, self._path / file.name


class _Archive:
    def __init__(self, path: Path, on_progress: OnProgress) -> None:
        self._path = path
        self._last = "its beginning"
        measured: dict[str, tuple[int, str]] = {}
        raw = b""
        with self._damage_named():
            for name, stream, position in self._members():
                if name == manifest.NAME:
                    raw = stream.read(manifest.MAX_BYTES)
                else:
                    measured[name] = _measured(stream)
                on_progress(position(), path.stat().st_size)
        if not raw:
            raise InvalidInput(
                f"The archive contains no {manifest.NAME}, so it isn't a complete backup.",
                field=str(path),
                remedy="Name an archive that leads backup wrote.",
            )
        self.manifest = manifest.decode(raw, str(path))
        for file in self.manifest.files:
            if file.name not in measured:
                raise manifest.damaged(file.name, "is missing", str(path))
            _check(file, *measured[file.name], str(path))

    def files(self) -> Iterator[tuple[str, Path]]:
        known = {file.name for file in self.manifest.files}
        with tempfile.TemporaryDirectory(prefix="leads-restore-") as folder, self._damage_named():
            part = Path(folder) / "part"
            for name, stream, _ in self._members():
                if name in known:
                    with part.open("wb") as file:
                        shutil.copyfileobj(stream, file, _CHUNK)
                    yield name, part

    def _members(self) -> Iterator[tuple[str, IO[bytes], Callable[[], int]]]:
        """Name and contents of each file, and a function that says how much of the archive has been read."""
        with _opened(self._path) as (stream, position), tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                contents = archive.extractfile(member) if member.isreg() else None
                if contents is not None:
                    self._last = member.name
                    yield member.name, contents, position
            # The checksum of what is compressed comes last.
            while stream.read(_CHUNK):
                pass

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except (*_UNREADABLE, OSError) as error:
            # Arrow's decompressor raises errors without a number; others say that the disk has failed or is full.
            if isinstance(error, OSError) and error.errno is not None:
                raise
            what = f"can't be read after {self._last} ({error})"
            raise manifest.damaged(self._path.name, what, str(self._path)) from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Callable[[], int]]]:
    """The archive as a stream, decompressed, and a function that says how much has been read of the file."""
    with path.open("rb") as raw:
        if path.name.endswith(".gz"):
            with gzip.open(raw) as stream:
                yield stream, raw.tell
        elif path.name.endswith(".zst"):
            import pyarrow as pa

            with pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd") as stream:
                yield stream, lambda: os.lseek(raw.fileno(), 0, os.SEEK_CUR)
        else:
            yield raw, raw.tell


def _measured(stream: IO[bytes]) -> tuple[int, str]:
    """Size and SHA-256 of what is read."""
    digest, size = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _check(file: BackedUpFile, size: int, sha256: str, where: str) -> None:
    if size != file.size:
        raise manifest.damaged(file.name, f"has {size:,} bytes instead of {file.size:,}", where)
    if sha256 != file.sha256:
        raise manifest.damaged(file.name, "has other contents than when it was written (SHA-256)", where)

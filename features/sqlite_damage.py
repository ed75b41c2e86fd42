"""Tells a damaged SQLite file from one that can't be used at the moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leads.errors import Unavailable

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_MISMATCH}


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file's content is wrong: the error stays however often the call is repeated."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Python's own errors have no code.
        return "UTF-8" in str(error)
    return code == sqlite3.SQLITE_IOERR_SHORT_READ or code & 0xFF in _DAMAGE


def online_store_damaged(path: Path | str, error: sqlite3.Error) -> Unavailable:
    """The error for a damaged online store."""
    return Unavailable(
        f"The SQLite online store is damaged ({error}).",
        field=str(path),
        remedy=f"Stop leads serve and the worker, delete {path}* and {Path(path).parent / 'online-*.json'}, and start"
        " them again. The worker then writes all rows again.",
    )


@contextmanager
def online_writes(path: Path | str) -> Iterator[None]:
    """Raises Unavailable instead of SQLite's errors while rows are written to the online store."""
    try:
        yield
    except sqlite3.Error as error:
        if is_damage(error):
            raise online_store_damaged(path, error) from error
        raise Unavailable(
            f"Can't write to the SQLite online store ({error}).",
            field=str(path),
            remedy="Check the folder's permissions and free space.",
        ) from error

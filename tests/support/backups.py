"""Databases with rows in every table, what they hold, and what lies in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.backup import tables
from leads.db.monitoring import tables as monitoring_tables  # noqa: F401
from leads.db.outbox import tables as outbox_tables  # noqa: F401
from leads.db.progress import feature_generations  # noqa: F401
from leads.db.tables import metadata

ROWS = 30
# What is easily lost on the way: JSON's null and a missing value, order, doubles, characters beyond the first plane.
_JSON: tuple[Any, ...] = (None, {"b": 1, "a": [0.1, None, "ü"]}, sa.null(), [], "x", 7)
_TEXT = ("", "ü\n\t\\N", "🎧 'quoted' \"twice\"", "\\.", "a,b;c")
_NUMBERS = (0, -1, 2**62, 7)
_DOUBLES = (0.1, -0.0, 1e-300, 1.5e300)


def fill_tables(engine: Engine) -> None:
    """Insert rows into every table that a backup holds."""
    with engine.begin() as connection:
        for table in tables.stored_tables(connection):
            connection.execute(sa.delete(metadata.tables[table.name]))
            for i in range(ROWS):
                connection.execute(sa.insert(metadata.tables[table.name]).values(_row(table.name, i)))


def _row(table: str, i: int) -> dict[str, Any]:
    return {column.name: _value(column, i) for column in metadata.tables[table].columns}


def _value(column: sa.Column[Any], i: int) -> Any:
    kind = column.type
    if column.primary_key or column.unique or column.name in ("id", "sender", "subject_id", "rule"):
        return i + 1 if isinstance(kind, sa.Integer) else f"{i:04d}".encode() if _is_bytes(kind) else f"{i:04d} ü"
    if column.nullable and i % 3 == 0:
        return sa.null()
    if isinstance(kind, sa.JSON):
        values: tuple[Any, ...] = _JSON if column.nullable else tuple(v for v in _JSON if v is not _JSON[2])
    elif isinstance(kind, sa.Boolean):
        values = (True, False)
    elif isinstance(kind, sa.BigInteger):
        values = _NUMBERS
    elif isinstance(kind, sa.Integer):
        values = (0, 2**31 - 1)
    elif isinstance(kind, sa.Float):
        values = _DOUBLES
    else:
        values = (b"", b"\x00\xff\\x41") if _is_bytes(kind) else _TEXT
    return values[i % len(values)]


def _is_bytes(kind: object) -> bool:
    return isinstance(kind, sa.LargeBinary)


def contents(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """Every row by table, in the order of its key; JSON as it is stored."""
    with tables.snapshot(engine) as connection:
        return {
            table.name: sorted(
                (row for batch in tables.batches(connection, table) for row in batch.to_pylist()),
                key=lambda row: [repr(row[column.name]) for column in table.primary_key],
            )
            for table in tables.stored_tables(connection)
        }


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of everything below a folder. Reading an SQLite file may touch its -shm file."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if not path.name.endswith(("-shm", "-wal")) and not path.is_dir()
    }

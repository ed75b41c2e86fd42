"""Databases that are copied where a test would create them: migrations take longer than most tests.

Migrations from one revision to another, PostgreSQL databases, and those of child processes are what they always are.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.db import engine
from leads.files import private_folder
from models.registry.mlflow_client import Connector


@contextmanager
def copied_tables() -> Iterator[None]:
    """Until the block ends, an SQLite database without tables gets those of the first one that was migrated."""
    real = engine._run_migrations
    statements: list[str] = []

    def run(connection: Connection, revision: str) -> None:
        if (
            connection.dialect.name != "sqlite"
            or revision != engine.newest_revision()
            or sa.inspect(connection).get_table_names()
        ):
            real(connection, revision)
        elif statements:
            for statement in statements:
                connection.exec_driver_sql(statement)
        else:
            real(connection, revision)
            statements.extend(_statements(connection))

    with patch.object(engine, "_run_migrations", run):
        yield


def _statements(connection: Connection) -> list[str]:
    """What makes a database like this one, within a transaction."""
    opened = connection.connection.driver_connection
    assert isinstance(opened, sqlite3.Connection)
    return [one for one in opened.iterdump() if one not in ("BEGIN TRANSACTION;", "COMMIT;")]


@contextmanager
def copied_registries(template: Path) -> Iterator[None]:
    """Until the block ends, an embedded model registry begins as a copy of the first one, which is kept at `template`.

    Args:
        template: a file that doesn't exist yet, in a folder that nothing else uses.
    """
    real = Connector._connect

    def connect(self: Connector, *, create: bool) -> object:
        file = self._settings.mlflow_file
        new = create and file is not None and not file.exists()
        if new and file is not None and template.exists():
            private_folder(file.parent)
            shutil.copy(template, file)
        client = real(self, create=create)
        if new and file is not None and not template.exists():
            _copy_of(file, template)
        return client

    with patch.object(Connector, "_connect", connect):
        yield


def _copy_of(file: Path, copy: Path) -> None:
    """A copy of an open SQLite database."""
    opened, copied = sqlite3.connect(file), sqlite3.connect(copy)
    with opened, copied:
        opened.backup(copied)
    opened.close()
    copied.close()

"""Restores a backup into an empty home and an empty database, of the same kind as before or of the other one."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Connection, Engine

from leads.backup import manifest, tables
from leads.backup.manifest import BackedUpDatabase, Manifest
from leads.backup.reading import Backup
from leads.backup.take import PLATFORM, POLICIES, TRAINING, VIEWS
from leads.backup.writing import disk_errors
from leads.db.engine import database_url, newest_revision, schema_revision, unchecked_engine, upgrade
from leads.environment.sqlite_urls import sqlite_url
from leads.errors import ConfigurationError, Conflict, Unavailable
from leads.files import copy_private, private_folder, sync_folder
from leads.settings import Settings

OnProgress = Callable[[str, int, int], None]
# In a home whose restore hasn't finished.
UNFINISHED = "restore-unfinished"
# A new file system has it.
_IGNORED = {"lost+found"}
# How much more space a database takes here than where the backup was made.
_MARGIN = 1.3


class Restored(NamedTuple):
    """The result of a restore.

    Args:
        variables: the settings whose file or folder differs from the one that they name now, and the restored one.
    """

    manifest: Manifest
    variables: dict[str, Path]


def restore(
    settings: Settings,
    backup: Backup,
    *,
    where: str,
    finish: Callable[[Connection], None] = lambda connection: None,
    on_progress: OnProgress = lambda step, done, total: None,
) -> Restored:
    """Restore a backup into the settings' home and database.

    Args:
        where: the backup, for errors.
        finish: called with the restored database, at this release's revision, before it is used.
        on_progress: called with the step, what is done of it, and its total.

    Raises:
        Conflict: the home or the database isn't empty.
        ConfigurationError: a newer release made the backup.
        InvalidInput: the backup's tables don't fit, or PostgreSQL can't store a value.
        Unavailable: the database doesn't answer, or the disk is full.
    """
    made = backup.manifest
    if made.database is not None and made.database.revision > newest_revision():
        raise manifest.newer(where, made.release)
    _check_home(settings)
    if made.mlflow == "embedded":
        _check_absent(_place(settings, manifest.MLFLOW_FILE), "LEADS_MLFLOW_URI")
    _check_space(settings, made)
    marker = settings.root / UNFINISHED
    with disk_errors("The backup can't be restored", settings.root):
        private_folder(settings.root)
        marker.touch(mode=0o600)
        if made.database is None:
            _place_files(settings, backup, None, None, on_progress)
        else:
            with _target(settings, made.database, where) as engine:
                _fill(settings, backup, engine, made.database, where, finish, on_progress)
        marker.unlink()
        sync_folder(settings.root)
    return Restored(made, _variables(settings))


def _fill(
    settings: Settings,
    backup: Backup,
    engine: Engine,
    database: BackedUpDatabase,
    where: str,
    finish: Callable[[Connection], None],
    on_progress: OnProgress,
) -> None:
    """Load the tables, check them, and bring them to this release's revision."""
    with engine.begin() as connection:
        tables.check_empty(connection, "LEADS_DATABASE_URL")
        _place_files(settings, backup, _Loader(connection, database, where, on_progress), where, on_progress)
        tables.check_counts(connection, database.rows, where)
        tables.continue_numbers(connection)
    upgrade(engine)
    with engine.begin() as connection:
        finish(connection)


class _Loader:
    """Inserts the files of tables into a database."""

    def __init__(self, connection: Connection, database: BackedUpDatabase, where: str, on_progress: OnProgress) -> None:
        self._connection = connection
        self._tables = {table.name: table for table in tables.stored_tables(connection)}
        self._total, self._done = sum(database.rows.values()), 0
        self._where = where
        self._on_progress = on_progress

    def load(self, name: str, path: Path) -> None:
        table = self._tables.get(name.split("/")[1])
        if table is None:
            raise manifest.damaged(name, "belongs to a table that the schema doesn't have", self._where)
        self._done += tables.load_file(self._connection, table, path, self._where)
        self._on_progress("rows of the database restored", self._done, self._total)


def _place_files(
    settings: Settings, backup: Backup, loader: _Loader | None, where: str | None, on_progress: OnProgress
) -> None:
    """Put every file of the backup in its place."""
    total = len(backup.manifest.files)
    for done, (name, path) in enumerate(backup.files(), start=1):
        if name.startswith(f"{manifest.DATABASE}/"):
            if loader is not None:
                loader.load(name, path)
        else:
            _copy(path, _place(settings, name))
        on_progress("files restored", done, total)


def _place(settings: Settings, name: str) -> Path:
    """Where a file of a backup belongs."""
    if name == manifest.MLFLOW_FILE:
        return settings.mlflow_file or settings.root / "mlflow.db"
    folder, _, rest = name.partition("/")
    return settings.root / rest if folder == manifest.HOME else settings.root / name


def _copy(source: Path, target: Path) -> None:
    private_folder(target.parent)
    copy_private(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _target(settings: Settings, database: BackedUpDatabase, where: str) -> Iterator[Engine]:
    """The database to restore into, with empty tables at the backup's revision.

    An SQLite database gets its name when the block ends without an error.
    """
    url = database_url(settings)
    if url.get_backend_name() != "sqlite":
        engine = unchecked_engine(settings)
        try:
            _prepare(engine, database.revision)
            yield engine
        finally:
            engine.dispose()
        return
    file = Path(url.database or "")
    _check_absent(file)
    private_folder(file.parent)
    draft = file.with_name(f"{file.name}.restoring")
    _delete(draft)
    draft.touch(mode=0o600)
    engine = unchecked_engine(settings.model_copy(update={"database_url": SecretStr(sqlite_url(draft.absolute()))}))
    sa.event.listen(engine, "connect", _fast)
    try:
        try:
            _prepare(engine, database.revision)
            yield engine
        finally:
            engine.dispose()
        with draft.open("rb") as made:
            os.fsync(made.fileno())
        _check_absent(file)
        os.rename(draft, file)
        sync_folder(file.parent)
    finally:
        _delete(draft)


def _fast(connection: Any, _record: object) -> None:
    """Nobody uses the file before it is complete and durable, and nothing in it is ever rolled back."""
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144"):
        connection.execute(f"PRAGMA {pragma}")


def _delete(draft: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _prepare(engine: Engine, revision: str) -> None:
    """Create the tables at this revision."""
    found = schema_revision(engine)
    if found is not None and found > revision:
        raise Conflict(
            f"The database has tables at revision {found}, newer than those of the backup ({revision}).",
            field="LEADS_DATABASE_URL",
            remedy="Name a database without tables.",
        )
    upgrade(engine, revision)


def _check_absent(file: Path, variable: str = "LEADS_DATABASE_URL") -> None:
    if file.exists():
        raise Conflict("There is a database already.", field=str(file), remedy=f"Set {variable} to a new one.")


def _check_home(settings: Settings) -> None:
    """Check that the home is missing or empty."""
    root = settings.root
    if root.exists() and not root.is_dir():
        raise ConfigurationError("The home is not a folder.", field=str(root), remedy="Correct LEADS_HOME.")
    found = {path.name for path in root.iterdir()} - _IGNORED if root.exists() else set()
    if UNFINISHED in found:
        raise Conflict(
            "An earlier restore into this home did not finish.",
            field=str(root),
            remedy="Delete the folder, and restore again into an empty database.",
        )
    if found:
        raise Conflict(
            f"The home isn't empty: it contains {min(found)}.",
            field=str(root),
            remedy="Set LEADS_HOME to a new folder, or move this one away.",
        )


def _check_space(settings: Settings, made: Manifest) -> None:
    """Check that the home's disk has room for the files and, if it is in the home, for the database."""
    needed = sum(file.size for file in made.files if not file.name.startswith(f"{manifest.DATABASE}/"))
    if made.database is not None and database_url(settings).get_backend_name() == "sqlite":
        needed += round(made.database.size * _MARGIN)
    place = next(folder for folder in (settings.root, *settings.root.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise Unavailable(
            f"The restore needs about {needed / 1e9:,.1f} GB, but only {free / 1e9:,.1f} GB are free.",
            field=str(place),
            remedy="Free some space, or set LEADS_HOME to a folder on another disk.",
        )


def _variables(settings: Settings) -> dict[str, Path]:
    """The settings that have to name restored files, because what they name now is something else."""
    restored = settings.root / manifest.CONFIGURATION
    found = {}
    for variable, name, current in (
        ("LEADS_POLICIES", POLICIES, settings.policies),
        ("LEADS_PLATFORM", PLATFORM, settings.platform),
        ("LEADS_TRAINING", TRAINING, settings.training),
        ("LEADS_FEATURE_VIEWS", VIEWS, settings.feature_views),
    ):
        if (restored / name).exists() and not _same(restored / name, current):
            found[variable] = restored / name
    return found


def _same(restored: Path, current: Path | None) -> bool:
    """Whether a file, or every file of the restored folder, is the same there."""
    if current is None or not current.exists():
        return False
    if restored.is_file():
        return filecmp.cmp(restored, current, shallow=False)
    files = [path.relative_to(restored) for path in restored.rglob("*") if path.is_file()]
    return all((current / file).is_file() and filecmp.cmp(restored / file, current / file, False) for file in files)

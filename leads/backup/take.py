"""Takes a backup while everything runs.

What a part of a backup names is in the backup too, because it is read later: first the moment of the database is
fixed, then MLflow's database is copied, then the artifacts that it names, and last the prediction log. All of these are
written before anything names them, except for predictions, which are written within a second or so.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path

from leads import clock
from leads.backup import manifest, tables
from leads.backup.manifest import BackedUpDatabase, Manifest, Mlflow
from leads.backup.writing import BackupWriter, check_utf8, writing
from leads.db.engine import database_url, newest_revision, schema_revision, unchecked_engine
from leads.errors import ConfigurationError, NotFound, Unavailable
from leads.files import keeping_out
from leads.predictions.log import FLUSH_S
from leads.retention.removal import LOCK_FILE
from leads.settings import Settings

OnProgress = Callable[[str, int, int], None]
# The part of the configuration that a home's settings name: its folder or file in a backup.
POLICIES, PLATFORM, TRAINING, VIEWS = "policies.yaml", "platform.yaml", "training", "feature_views"
_REMEDY = "Run: leads migrate"


def default_name() -> str:
    """
    >>> len(default_name())
    30
    """
    return f"leads-backup-{clock.to_text(clock.now())[:19].replace(':', '').replace('T', '-')}"


def take(
    settings: Settings,
    path: Path,
    *,
    with_database: bool = True,
    on_progress: OnProgress = lambda step, done, total: None,
) -> Manifest:
    """Write a backup of the settings' database and home to `path`.

    Args:
        path: a new folder, or a new file if its name ends with `.tar`, `.tar.gz` or `.tar.zst`.
        with_database: False: only the files of the home, for a further host of a platform.
        on_progress: called with the step, what is done of it, and its total.

    Raises:
        Conflict: there is something under this name.
        NotFound: there is no database, or no configuration file that the settings name.
        ConfigurationError: the database's schema is newer than this release, or a file's name isn't UTF-8.
        Unavailable: the database doesn't answer, or the backup can't be written.
    """
    configuration = list(_configuration(settings))
    with writing(path) as writer, _nothing_deleted(settings, on_progress):
        database, mlflow, moment = _copy_databases(settings, writer, with_database, on_progress)
        for folder in manifest.KEPT[:-1]:
            _copy_folder(writer, settings.root / folder, f"{manifest.HOME}/{folder}", on_progress)
        for name, source in configuration:
            writer.copy(f"{manifest.CONFIGURATION}/{name}", source)
        # Predictions that leads name may be in the memory of another process still.
        time.sleep(max(0.0, moment + 1.5 * FLUSH_S - time.monotonic()))
        _copy_folder(writer, settings.predictions_dir, f"{manifest.HOME}/{manifest.PREDICTIONS}", on_progress)
        made = Manifest(
            kind=manifest.KIND,
            format=manifest.FORMAT,
            release=manifest.release(),
            created_at=clock.to_text(clock.now()),
            database=database,
            mlflow=mlflow,
            files=writer.files,
        )
        writer.finish(made)
    return made


def _nothing_deleted(settings: Settings, on_progress: OnProgress) -> AbstractContextManager[None]:
    """While this is open, no old data are deleted in the home: the database names artifacts that are copied later."""
    if not settings.root.is_dir():
        return nullcontext()

    def tell() -> None:
        on_progress("waiting until old data are deleted", 0, 1)

    return keeping_out(settings.root / LOCK_FILE, on_wait=tell)


def _copy_databases(
    settings: Settings, writer: BackupWriter, with_database: bool, on_progress: OnProgress
) -> tuple[BackedUpDatabase | None, Mlflow, float]:
    """Write the tables, and MLflow's database of the same moment; also returns that moment, of the monotonic clock."""
    if not with_database:
        return None, _copy_mlflow(settings, writer), time.monotonic()
    revision = _revision(settings)
    engine = unchecked_engine(settings)
    try:
        with tables.snapshot(engine) as connection:
            offset, moment = tables.head_offset(connection), time.monotonic()
            mlflow = _copy_mlflow(settings, writer)
            rows = tables.export(
                connection,
                lambda name, write: writer.add(f"{manifest.DATABASE}/{name}", write),
                on_rows=lambda done: on_progress("rows of the database written", done, offset),
            )
            size = tables.database_size(connection)
            return BackedUpDatabase(engine.dialect.name, revision, offset, size, rows), mlflow, moment
    finally:
        engine.dispose()


def _revision(settings: Settings) -> str:
    """The revision of the schema, which may be older than this release."""
    url = database_url(settings)
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        raise NotFound(f"There is no database at {url.database}.", field="LEADS_HOME", remedy="Check LEADS_HOME.")
    engine = unchecked_engine(settings)
    try:
        revision = schema_revision(engine)
    finally:
        engine.dispose()
    if revision is None:
        raise NotFound("The database has no tables yet.", field="LEADS_DATABASE_URL", remedy=_REMEDY)
    if revision > newest_revision():
        raise ConfigurationError(
            f"The database's schema is at revision {revision}, newer than this release knows ({newest_revision()}).",
            remedy="Use the release that migrated it.",
        )
    return revision


def _copy_mlflow(settings: Settings, writer: BackupWriter) -> Mlflow:
    """Copy MLflow's database as it is at one moment; returns where MLflow is."""
    source = settings.mlflow_file
    if source is None:
        return "elsewhere"
    if not source.is_file():
        return "none"

    def write(path: Path) -> None:
        address = f"{source.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as db, closing(sqlite3.connect(path)) as copied:
            db.backup(copied)
            # One file, whose last changes aren't in another.
            copied.execute("PRAGMA journal_mode = DELETE")

    try:
        writer.add(manifest.MLFLOW_FILE, write)
    except sqlite3.Error as error:
        raise Unavailable(
            f"MLflow's database can't be copied ({error}).", field=str(source), remedy="Check that it isn't damaged."
        ) from error
    return "embedded"


def _copy_folder(writer: BackupWriter, folder: Path, name: str, on_progress: OnProgress) -> None:
    """Copy every file below a folder. If one is deleted meanwhile, because files were merged, look again."""
    copied: set[Path] = set()
    while True:
        found = [path for path in _files(folder) if path not in copied]
        before = len(copied)
        for number, path in enumerate(found, start=1):
            if writer.copy(f"{name}/{_relative(path, folder)}", path):
                copied.add(path)
            on_progress(f"files of {folder.name} copied", number, len(found))
        if len(copied) == before + len(found):
            return


def _files(folder: Path) -> Iterator[Path]:
    """The complete files below a folder, in order. Drafts and locks of running processes are left out."""
    # Links are followed, but not in circles. Folders that are deleted meanwhile are left out.
    for parent, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(parent) in map(os.path.realpath, Path(parent).parents):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            draft = name.startswith(".") and name.endswith(".tmp")
            if not draft and not name.endswith(".lock"):
                yield Path(parent, name)


def _relative(path: Path, folder: Path) -> str:
    check_utf8(path)
    return path.relative_to(folder).as_posix()


def _configuration(settings: Settings) -> Iterator[tuple[str, Path]]:
    """The files that the settings name, and where a backup keeps them."""
    for name, file, variable in (
        (POLICIES, settings.policies, "LEADS_POLICIES"),
        (PLATFORM, settings.platform, "LEADS_PLATFORM"),
    ):
        if not file.is_file():
            raise NotFound(f"{file} is not a file.", field=variable, remedy="Correct the variable.")
        yield name, file
    yield from ((f"{TRAINING}/{path.name}", path) for path in sorted(settings.training.glob("*.yaml")))
    views = settings.feature_views
    if views is not None:
        yield from ((f"{VIEWS}/{_relative(path, views)}", path) for path in _files(views))

"""Artifact paths of a home that was moved, copied or restored elsewhere.

MLflow's SQLite database holds the absolute path of every artifact. When a home has another path than these say, the
paths below its old `mlartifacts` folder are changed to the present one, in one transaction and in every text column, so
that nothing is read from or written to the old place. Artifacts that lie elsewhere keep their paths.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from leads.errors import Unavailable
from leads.settings import Settings
from models.registry.runs import HARM

_BUSY_S = 30
# Our experiments: those with a run for a harm, and, before their first run, those that are named so.
_LOCATIONS = f"""
SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location IS NOT NULL AND (
    name LIKE 'leads%' OR EXISTS (
        SELECT 1 FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = '{HARM}'
        WHERE runs.experiment_id = experiments.experiment_id
    )
)
"""
_log = logging.getLogger(__name__)


class Prefix(NamedTuple):
    """The beginning of paths, and what it becomes."""

    old: str
    new: str


class HomeFollower:
    """Calls `follow_home` whenever MLflow's database has changed since the last call. That takes microseconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._checked: object = None

    def follow(self) -> None:
        """As `follow_home`."""
        file = self._settings.mlflow_file
        if file is None:
            return
        found = _state_of(file), _state_of(file.with_name(f"{file.name}-wal")), self._settings.artifacts_dir.is_dir()
        if found != self._checked:
            follow_home(self._settings)
            self._checked = found


def _state_of(file: Path) -> tuple[int, ...] | None:
    """What differs once a file was written to or replaced."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def follow_home(settings: Settings, *, restored: bool = False) -> None:
    """Change the artifact paths in the home's MLflow database to the home's present path.

    Does nothing if they are right, or if MLflow runs on a server. Several homes may use a database that lies outside of
    them, so its paths stay. So do those of artifacts that were left behind, when only the database was moved.

    Args:
        restored: the home and the database were restored together, wherever they lie.

    Raises:
        Unavailable: the database can't be read, or can't be written although its paths are wrong.
    """
    file = settings.mlflow_file
    if file is None or not file.is_file() or not (restored or settings.root in file.resolve().parents):
        return
    try:
        with closing(sqlite3.connect(file, timeout=_BUSY_S, isolation_level=None)) as db:
            if not _outdated(db, settings.artifacts_dir):
                return
            db.execute("BEGIN IMMEDIATE")
            # Another process may have changed them meanwhile.
            for prefix in _outdated(db, settings.artifacts_dir):
                _replace(db, prefix)
                _log.info("MLflow's artifacts have moved from %s to %s", prefix.old, prefix.new)
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise Unavailable(
            f"The artifact paths in MLflow's database can't be read or updated ({error}).",
            field=str(file),
            remedy="Check that this user may write to the file, and that its disk has free space.",
        ) from error


def _outdated(db: sqlite3.Connection, artifacts: Path) -> list[Prefix]:
    """The prefixes of paths that don't lead to this folder, as URLs and as plain paths."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tags'").fetchone():
        return []
    found: dict[Prefix, None] = {}
    for (location,) in db.execute(_LOCATIONS):
        root = _root(location, artifacts.name)
        if root is None:
            continue
        path = Path(unquote(urlsplit(root).path) if root.startswith("file:") else root)
        if path != artifacts and (artifacts.is_dir() or not path.is_dir()):
            urls = {root, path.as_uri()} - {str(path)}
            found |= dict.fromkeys(
                (*(Prefix(url, artifacts.as_uri()) for url in urls), Prefix(str(path), str(artifacts)))
            )
    return list(found)


def _root(location: str, name: str) -> str | None:
    """The part of a location that ends with this folder; None if the location isn't a local path below one.

    >>> _root("file:///srv/old/mlartifacts/7", "mlartifacts"), _root("s3://bucket/mlartifacts", "mlartifacts")
    ('file:///srv/old/mlartifacts', None)
    """
    match = re.match(rf"(?:file://)?/(?:.*/)?{re.escape(name)}(?=/|$)", location)
    return match[0] if match else None


def _replace(db: sqlite3.Connection, prefix: Prefix) -> None:
    length = len(prefix.old)
    for table, column in _text_columns(db):
        db.execute(
            f"UPDATE {table} SET {column} = ?1 || substr({column}, ?2 + 1) "
            f"WHERE substr({column}, 1, ?2) = ?3 AND substr({column}, ?2 + 1, 1) IN ('', '/')",
            (prefix.new, length, prefix.old),
        )


def _text_columns(db: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Every column of every table that can hold a path, quoted."""
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").fetchall()
    for (table,) in tables:
        for _, column, kind, *_ in db.execute(f"PRAGMA table_info({_quoted(table)})").fetchall():
            if not kind or re.search("CHAR|TEXT|CLOB|JSON", kind, re.IGNORECASE):
                yield _quoted(table), _quoted(column)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

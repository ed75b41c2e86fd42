"""What the fields of platform.yaml hold. It is recorded so that none changes its kind: stored events keep the old one.

A field that is no longer declared stays recorded, because events still have it.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.db.engine import insert_new
from leads.db.progress.feature_generations import declared_fields
from leads.errors import ConfigurationError, together
from leads.platform.declaration import Platform
from leads.yaml_files import line_of


def check_kinds(connection: Connection, platform: Platform, path: Path) -> None:
    """Check that no field of `platform`, which was read from `path`, holds something else than was recorded.

    Raises:
        ConfigurationError: fields do; with the line of each.
    """
    now = platform.field_kinds
    before = {row.name: row.kind for row in connection.execute(sa.select(declared_fields))}
    changed = [name for name in now if before.get(name, now[name]) != now[name]]
    if changed:
        raise together([_changed(name, before[name], now[name], path) for name in changed], "fields")


def record_kinds(connection: Connection, platform: Platform) -> None:
    """Record the fields that aren't recorded yet."""
    rows = [{"name": name, "kind": kind} for name, kind in platform.field_kinds.items()]
    insert_new(connection, declared_fields, rows)


def _changed(name: str, before: str, now: str, path: Path) -> ConfigurationError:
    section, of, field = name.split(".")
    line = line_of(path, (section, of, "fields", field, "kind"))
    return ConfigurationError(
        f"{section}.{of}.fields.{field}: the field's kind was {before} and is now {now}.",
        field=f"{path}:{line}",
        remedy=f"Events with it are stored, so set {before} again. Declare what is {now} as a field with a new name.",
    )

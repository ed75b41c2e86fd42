"""Databases that tests get as copies are what creating them gives."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from leads.db.engine import migrate, newest_revision, open_engine, schema_revision, unchecked_engine, upgrade
from leads.settings import load_settings
from models.registry.mlflow_registry import MlflowRegistry
from tests.support.databases.copied import copied_registries, copied_tables


def dump(file: Path) -> list[str]:
    """What makes a database like this one, in no order."""
    with closing(sqlite3.connect(file)) as opened:
        return sorted(opened.iterdump())


def test_copied_tables_are_those_that_migrations_create(tmp_path: Path) -> None:
    made = load_settings(home=tmp_path / "migrated", corpora="none", database_url=None)
    opened = unchecked_engine(made)
    # Migrations from one revision to another aren't replaced.
    upgrade(opened, "0008")
    assert schema_revision(opened) == "0008"
    assert upgrade(opened) == ("0008", newest_revision())
    opened.dispose()
    expected = dump(made.root / "leads.db")
    assert len(expected) > 50
    with copied_tables():
        for name in ("first", "second"):
            migrate(load_settings(home=tmp_path / name, corpora="none", database_url=None))
        open_engine(load_settings(home=tmp_path / "third", corpora="none", database_url=None)).dispose()
    for name in ("first", "second", "third"):
        assert dump(tmp_path / name / "leads.db") == expected


def test_a_copied_registry_works(tmp_path: Path) -> None:
    template = tmp_path / "template.db"
    with copied_registries(template):
        for name in ("first", "second"):
            registry = MlflowRegistry(load_settings(home=tmp_path / name, corpora="none", mlflow_uri=None))
            registry.prepare()
            assert registry.versions("spam") == []
    assert dump(tmp_path / "second" / "mlflow.db") == dump(template)

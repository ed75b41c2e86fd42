"""A model registry that a test gets as a copy is what creating it gives."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from leads.settings import load_settings
from models.registry.mlflow_registry import MlflowRegistry
from tests.support.training.copied_registries import copied_registries


def dump(file: Path) -> list[str]:
    """What makes a database like this one, in no order."""
    with closing(sqlite3.connect(file)) as opened:
        return sorted(opened.iterdump())


def test_a_copied_registry_works(tmp_path: Path) -> None:
    template = tmp_path / "template.db"
    with copied_registries(template):
        for name in ("first", "second"):
            registry = MlflowRegistry(load_settings(home=tmp_path / name, corpora="none", mlflow_uri=None))
            registry.prepare()
            assert registry.versions("spam") == []
    assert dump(tmp_path / "second" / "mlflow.db") == dump(template)

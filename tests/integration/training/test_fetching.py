"""Copies of registered versions, as commands keep them in the home."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from leads.settings import Settings
from models import manifest
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import RunRecord
from models.version import load
from models.write import write_version
from tests.support.serving.fake_registry import tamper
from tests.support.serving.world import make_parts

pytestmark = pytest.mark.slow


def test_a_copy_that_is_whole_is_kept_and_a_damaged_one_is_fetched_again(settings: Settings, tmp_path: Path) -> None:
    registry, into = MlflowRegistry(settings), tmp_path / "into"
    made = write_version(tmp_path / "made", make_parts("stream_manipulation"))
    assert registry.register("stream_manipulation", made, RunRecord(fingerprint="f")) == "1"
    folder = registry.fetch("stream_manipulation", "1", into)
    kept = folder.stat().st_ino
    assert registry.fetch("stream_manipulation", "1", into).stat().st_ino == kept
    for harm_it in (tamper, lambda at: (at / manifest.CONTRACT).unlink(), shutil.rmtree):
        harm_it(folder)
        load(registry.fetch("stream_manipulation", "1", into)).verify()
    assert sorted(path.name for path in into.iterdir()) == ["1"]

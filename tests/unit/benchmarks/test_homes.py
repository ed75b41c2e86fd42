"""Benchmarks don't run on the caller's data."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.homes import forget_settings, sqlite_settings


def test_the_callers_settings_are_forgotten_but_for_those_that_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADS_DATABASE_URL", "postgresql://production/leads")
    monkeypatch.setenv("LEADS_CORPORA", str(tmp_path))
    monkeypatch.setenv("LEADS_THREADS", "1")
    forget_settings("THREADS")
    settings = sqlite_settings(tmp_path / "home")
    assert settings.database == f"sqlite:///{tmp_path / 'home' / 'leads.db'}"
    assert settings.corpora_dir is None
    assert settings.threads == 1

"""One line says which corpora a command reads, and which setting chooses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.ui.corpora import describe_corpora, print_corpora
from leads import settings as settings_module
from leads.errors import ConfigurationError
from leads.settings import load_settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two corpora, and a folder that is none."""
    for name, file in (("youtube-spam", "a.csv"), ("edos", "edos_labelled_aggregated.csv"), ("notes", "a.csv")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
    return tmp_path


def test_what_was_found_where_and_how_to_turn_it_off(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_corpora(load_settings(corpora=folder))
    assert capsys.readouterr().out == f"Corpora: edos, youtube-spam in {folder} (LEADS_CORPORA=none turns them off)\n"


def test_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_CORPORA", "none")
    assert describe_corpora(load_settings()) == "turned off by LEADS_CORPORA"


def test_none_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADS_CORPORA", raising=False)
    assert describe_corpora(load_settings(corpora=tmp_path)).startswith(f"none found in {tmp_path} (LEADS_CORPORA")
    monkeypatch.setattr(settings_module, "REPOSITORY", None)
    assert describe_corpora(load_settings()).startswith("none found (LEADS_CORPORA")
    with pytest.raises(ConfigurationError, match="LEADS_CORPORA"):
        describe_corpora(load_settings(corpora=tmp_path / "nowhere"))

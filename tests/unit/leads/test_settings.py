"""Settings come from the environment, and errors name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.errors import ConfigurationError
from leads.settings import load_settings


def test_all_state_is_below_home(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    for folder in (
        settings.features_dir,
        settings.predictions_dir,
        settings.published_dir,
        settings.artifacts_dir,
        settings.reports_dir,
    ):
        assert folder.is_relative_to(tmp_path)
    assert settings.database == f"sqlite:///{tmp_path}/leads.db"
    assert settings.mlflow == f"sqlite:///{tmp_path}/mlflow.db"


def test_arguments_override_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_HOME", str(tmp_path / "a"))
    monkeypatch.setenv("LEADS_PORT", "3001")
    assert load_settings().root == tmp_path / "a"
    assert load_settings(home=tmp_path / "b").root == tmp_path / "b"
    assert load_settings().port == 3001


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEADS_PORT", "0"),
        ("LEADS_PORT", "70000"),
        ("LEADS_PORT", "http"),
        ("LEADS_WORKERS", "0"),
        ("LEADS_THREADS", "-1"),
        ("LEADS_ONLINE_STORE", "memcached"),
        ("LEADS_ALIAS_POLL_S", "0"),
        ("LEADS_ONLINE_FLUSH_S", "soon"),
    ],
)
def test_the_error_names_the_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert refused.value.field == name
    assert refused.value.remedy


def test_an_unknown_setting_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="LEADS_PROT"):
        load_settings(prot=3000)


def test_passwords_are_not_shown() -> None:
    settings = load_settings(database_url="postgresql+psycopg://u:hunter2@localhost/leads")
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert "hunter2" in settings.database


def test_a_missing_corpora_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_CORPORA", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError) as refused:
        _ = load_settings().corpora_dir
    assert refused.value.field == "LEADS_CORPORA"


def test_corpora_can_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_CORPORA", "")
    assert load_settings().corpora_dir is None


def test_settings_are_immutable(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings(home=tmp_path).port = 1

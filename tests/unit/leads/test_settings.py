"""Settings come from the environment, and errors name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.errors import ConfigurationError
from leads.settings import Settings, load_settings, variable_of, without_effect

# Of a service `leads` with a named port, and of another one, `leads-redis`.
KUBERNETES = {
    "LEADS_PORT": "tcp://10.0.0.1:3000",
    "LEADS_SERVICE_HOST": "10.0.0.1",
    "LEADS_SERVICE_PORT": "3000",
    "LEADS_SERVICE_PORT_HTTP": "3000",
    "LEADS_PORT_3000_TCP": "tcp://10.0.0.1:3000",
    "LEADS_PORT_3000_TCP_PROTO": "tcp",
    "LEADS_PORT_3000_TCP_PORT": "3000",
    "LEADS_PORT_3000_TCP_ADDR": "10.0.0.1",
    "LEADS_REDIS_PORT": "tcp://10.0.0.2:6379",
    "LEADS_REDIS_SERVICE_HOST": "10.0.0.2",
    "LEADS_REDIS_SERVICE_PORT": "6379",
    "LEADS_REDIS_PORT_6379_TCP_ADDR": "10.0.0.2",
}


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
        ("LEADS_STATE_STORE", "memory"),
        ("LEADS_ENCODER", "bert"),
        ("LEADS_RATE_LIMIT", "-1"),
        ("LEADS_RATE_LIMIT", "nan"),
        ("LEADS_DRAIN_S", "4000"),
        ("LEADS_LOG_FORMAT", "xml"),
        ("LEADS_LOG_LEVEL", "loud"),
        ("LEADS_TRACES", "on"),
        ("LEADS_PARTITIONS", "65"),
        ("LEADS_ALIAS_POLL_S", "0"),
        ("LEADS_ALIAS_POLL_S", "inf"),
        ("LEADS_ONLINE_FLUSH_S", "soon"),
        ("LEADS_ONLINE_FLUSH_S", "inf"),
        ("LEADS_SEGMENT_FLUSH_S", "nan"),
        ("LEADS_STORE_TIMEOUT_S", "61"),
        ("LEADS_DATABASE_TIMEOUT_S", "0"),
        ("LEADS_HOST", "http://localhost"),
        ("LEADS_HOST", "localhost:3000"),
        ("LEADS_HOST", "[::1]:3000"),
        ("LEADS_HOST", "a b"),
        ("LEADS_HOME", __file__),
        ("LEADS_HOME", f"{__file__}/home"),
        ("LEADS_ONLINE_STORE_OPTIONS", "host=db"),
        ("LEADS_ONLINE_STORE_OPTIONS", "[1]"),
    ],
)
def test_the_error_names_the_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert refused.value.field == name
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LEADS_DRAIN_S", "nan", "Input should be a finite number."),
        ("LEADS_ACCESS_LOG_RATE", "inf", "Input should be a finite number."),
        ("LEADS_HOME", __file__, f"{__file__} is a file; give the path of a folder."),
        ("LEADS_HOME", f"{__file__}/home", f"{__file__} is a file; give the path of a folder."),
        ("LEADS_ONLINE_STORE_OPTIONS", "host=hunter2", "must be a JSON object, for example"),
    ],
)
def test_the_error_says_what_is_wrong(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert refused.value.message.startswith(says)
    assert "hunter2" not in str(refused.value)


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


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_variable_counts_as_not_set(name: str, empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADS_CORPORA", raising=False)
    expected = load_settings()
    monkeypatch.setenv(variable_of(name), empty)
    assert load_settings() == expected
    assert load_settings().root == expected.root
    assert load_settings().corpora_dir == expected.corpora_dir
    assert load_settings().model_fields_set == set()


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_PORT", "many")
    monkeypatch.setenv("LEADS_WORKERS", "0")
    with pytest.raises(ConfigurationError, match="In all, 2 settings are wrong") as refused:
        load_settings()
    assert {fault.field for fault in refused.value.faults} == {"LEADS_PORT", "LEADS_WORKERS"}


def test_what_kubernetes_sets_for_a_service_named_leads_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(name, value)
    assert load_settings().port == 3000
    assert [text.partition(" ")[0] for text in without_effect()] == ["LEADS_PORT"]
    assert "enableServiceLinks" in without_effect()[0]
    monkeypatch.setenv("LEADS_PORT", "3001")
    assert (load_settings().port, without_effect()) == (3001, [])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LEADS_PROT", "Did you mean LEADS_PORT?"),
        ("LEADS_DATABSE_URL", "Did you mean LEADS_DATABASE_URL?"),
        ("LEADS_REDIS_URI", "Did you mean LEADS_REDIS_URL?"),
        ("LEADS_HOMES", "Did you mean LEADS_HOME?"),
        ("LEADS_XYZZY", "no effect."),
    ],
)
def test_a_misspelt_variable_is_named_without_its_value(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "hunter2")
    (text,) = without_effect()
    assert text.startswith(f"{name} isn't a setting and has no effect.")
    assert text.endswith(said)
    assert "hunter2" not in text


def test_what_the_client_reads_is_not_misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEADS_URL", "LEADS_API_KEY", "LEADS_HOME", "leads_threads", "OTHER_PORT"):
        monkeypatch.setenv(name, "2")
    assert without_effect() == []


def test_brackets_around_an_ipv6_address_are_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("[::1]", "::1"):
        monkeypatch.setenv("LEADS_HOST", host)
        assert load_settings().host == "::1"


def test_corpora_can_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_CORPORA", "none")
    assert load_settings().corpora_dir is None


def test_settings_are_immutable(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings(home=tmp_path).port = 1


SET = "2025-01-10T00:00:00Z"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_clock_can_be_set_on_this_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_CLOCK", SET)
    assert load_settings(host=host, database_url="postgresql:///leads?host=/run/postgresql").clock == SET


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LEADS_HOST", "0.0.0.0"),
        ("LEADS_HOST", "10.0.0.1"),
        ("LEADS_DATABASE_URL", "postgresql://me:secret@db.example/leads"),
        ("LEADS_DATABASE_URL", "postgresql:///leads?host=db.example"),
    ],
)
def test_a_set_clock_is_refused_where_others_would_see_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    load_settings()
    monkeypatch.setenv("LEADS_CLOCK", SET)
    with pytest.raises(ConfigurationError, match="on this host alone") as raised:
        load_settings()
    assert raised.value.field == variable
    assert "secret" not in str(raised.value)


def test_an_invalid_clock_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADS_CLOCK", "yesterday")
    with pytest.raises(ConfigurationError, match="must be a time at which the clock stands still") as raised:
        load_settings()
    assert raised.value.field == "LEADS_CLOCK"

"""Checks of the settings and of the files that they name, and the settings in effect without their secrets."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from pydantic import SecretStr

from cli.checks import places
from cli.checks.findings import ANSWER_S, Check, Finding
from cli.checks.http import answer_of
from features.feast.online_config import redis_url
from features.redis.address import parse_address
from features.registration.loading import load_views
from leads.db.engine import database_exists, database_url, newest_revision, reading, schema_revision, unchecked_engine
from leads.db.progress.field_kinds import check_kinds
from leads.errors import ConfigurationError, LeadsError, Unavailable
from leads.platform.declaration import load_platform
from leads.policies import check_types, load_policies
from leads.settings import Settings, load_settings, variable_of, without_effect
from training.config import load_config
from training.encoder.config import load_tune_config

_FEAST_S = 30.0
_BAD_FILE = "Every command that reads the file stops with this error."


class Setting(msgspec.Struct, frozen=True):
    """A setting in effect.

    Args:
        value: as text; addresses are without user names and passwords.
        source: where it comes from.
    """

    name: str
    value: str
    source: str


def settings_in_effect(settings: Settings) -> list[Setting]:
    """Every setting, in the order in which they are declared."""
    return [
        Setting(
            variable_of(name), _shown(settings, name), "environment" if name in settings.model_fields_set else "default"
        )
        for name in type(settings).model_fields
    ]


def configuration_checks(settings: Settings) -> list[Check]:
    """What `leads doctor` checks of the configuration."""
    return [
        Check("variables", check_variables),
        Check("policies", lambda: _file("policies", lambda: load_policies(settings.policies))),
        Check("platform", lambda: _file("platform", lambda: _platform(settings))),
        Check("training", lambda: _file("training", lambda: _training(settings))),
        Check("feature_views", lambda: _file("feature_views", lambda: _views(settings)), limit_s=_FEAST_S),
        Check("corpora", lambda: _file("corpora", lambda: settings.corpora_dir)),
        Check("mlflow_artifacts", lambda: check_artifacts(settings)),
    ]


def usable_settings() -> Settings:
    """The settings, whose database URL is valid: without one, nearly every check would say the same.

    Raises:
        ConfigurationError: names the variables that are wrong.
    """
    settings = load_settings()
    database_url(settings)
    return settings


def wrong_settings(error: ConfigurationError) -> list[Finding]:
    """A finding for each setting that can't be used."""
    remedy = error.remedy or "Correct or unset it."
    return [
        Finding("settings", "failed", f"{fault.field}: {fault.message}", "No command runs.", remedy)
        for fault in error.faults
    ]


def check_variables() -> list[Finding]:
    """A finding for each variable without effect; one if there is none."""
    why = "The default applies instead."
    found = [Finding("variables", "warning", text, why, "Correct or unset it.") for text in without_effect()]
    return found or [Finding("variables", "ok", "Every LEADS_… variable that is set is a setting")]


def check_artifacts(settings: Settings) -> Finding:
    """Whether an MLflow server also serves artifacts, and which version it is."""
    uri = settings.mlflow.rstrip("/")
    if not uri.startswith(("http://", "https://")):
        return Finding("mlflow_artifacts", "ok", "MLflow isn't a server")
    answer, version = answer_of(f"{uri}/api/2.0/mlflow-artifacts/artifacts"), answer_of(f"{uri}/version")
    why = "Hosts exchange model versions through the server."
    if answer.status is None:
        return Finding("mlflow_artifacts", "failed", f"{places.mlflow(settings)} {answer.text}.", why, "See mlflow.")
    if "serve-artifacts" in answer.text:
        text = "The MLflow server doesn't serve artifacts."
        return Finding("mlflow_artifacts", "failed", text, why, "Start it without --no-serve-artifacts.")
    number = version.text.strip() if version.status == 200 else "unknown"
    if number.partition(".")[0] not in ("3", "unknown"):
        text = f"The MLflow server has version {number[:20]}."
        return Finding("mlflow_artifacts", "warning", text, "Only MLflow 3 is tested.", "Use MLflow 3.")
    return Finding("mlflow_artifacts", "ok", f"The MLflow server serves artifacts; its version is {number[:20]}")


def _platform(settings: Settings) -> None:
    platform = load_platform(settings.platform)
    check_types(load_policies(settings.policies), platform, settings)
    if not database_exists(settings):
        return
    engine = unchecked_engine(settings, timeout_s=ANSWER_S)
    try:
        if schema_revision(engine) == newest_revision():
            with reading(engine) as connection:
                check_kinds(connection, platform, settings.platform)
    except Unavailable:
        # The check of the database says so, and also if its schema is older.
        return
    finally:
        engine.dispose()


def _training(settings: Settings) -> None:
    for harm in load_policies(settings.policies).harms:
        load_config(settings, harm)
    load_tune_config(settings)


def _views(settings: Settings) -> None:
    if settings.feature_views is not None:
        from features.declared.generations import live_features

        load_views(settings, live_features(settings))


def _file(check: str, read: Callable[[], object]) -> list[Finding]:
    """What reading a file says: a finding for each problem that it names."""
    try:
        read()
    except LeadsError as error:
        faults = error.faults if len(error.faults) > 1 else ()
        texts = [f"{one.field}: {one.message}" for one in faults] or [
            f"{error.field}: {error.message}" if error.field else error.message
        ]
        return [Finding(check, "failed", text, _BAD_FILE, error.remedy or "") for text in texts]
    return [Finding(check, "ok", "Valid")]


def _shown(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if value is None:
        return ""
    if not isinstance(value, SecretStr):
        return str(value)
    try:
        if name == "database_url":
            return places.database(settings)
        if name == "mlflow_uri":
            return places.mlflow(settings)
        if name == "redis_url":
            return parse_address(redis_url(settings), checked=False).place
    except LeadsError:
        return "(invalid)"
    return "(set; not shown, because it may contain secrets)"

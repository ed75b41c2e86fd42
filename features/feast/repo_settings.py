"""Feast's own command line on the settings: `features/repo/feature_store.yaml` names these classes, nothing else.

So `feast -c features/repo …` works on the very registry and online store that the project works on, whatever `LEADS_*`
says; paths and addresses in the YAML would be a second place that says so.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from feast.infra.registry.file import FileRegistryStore
from feast.repo_config import RegistryConfig

from features.feast.store import repo_config
from leads.settings import REPOSITORY, Settings, load_settings


def project_settings() -> Settings:
    """The environment's settings, a relative home taken from the checkout: Feast and Jupyter change directories.

    Raises:
        ConfigurationError: names the variable that is wrong.
    """
    return load_settings(home=(REPOSITORY or Path.cwd()) / Path(os.environ.get("LEADS_HOME", "var")).expanduser())


class SettingsRegistryStore(FileRegistryStore):  # type: ignore[misc]
    """Feast's file registry, where the settings keep it."""

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        settings = project_settings()
        settings.features_dir.mkdir(parents=True, exist_ok=True)
        super().__init__(repo_config(settings).registry, repo_path)


class SettingsOnlineStoreConfig:
    """Feast makes one of these from the YAML, and gets the configuration of the settings' own online store."""

    def __new__(cls, **_given: object) -> Any:
        return repo_config(project_settings()).online_store

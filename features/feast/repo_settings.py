"""Classes named in `features/repo/feature_store.yaml`, so that Feast's command line uses the settings (`LEADS_*`).

`feast -c features/repo …` then opens the same registry and online store as the rest of the project; the YAML holds no
paths or addresses that could contradict the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feast.repo_config import RegistryConfig

from features.feast.registry_store import HomeRegistryStore
from features.feast.store import repo_config
from leads.files import private_folder
from leads.settings import REPOSITORY, Settings, load_settings


def project_settings() -> Settings:
    """Settings from the environment. A relative home is resolved from the checkout: Feast and Jupyter change directory.

    Raises:
        ConfigurationError: a variable is wrong; the error names it.
    """
    home = load_settings().home.expanduser()
    return load_settings(home=(REPOSITORY or Path.cwd()) / home)


class SettingsRegistryStore(HomeRegistryStore):
    """Feast's file registry at the path given by the settings."""

    def __init__(self, registry_config: RegistryConfig, repo_path: Path) -> None:
        settings = project_settings()
        private_folder(settings.features_dir)
        super().__init__(repo_config(settings).registry, repo_path)


class SettingsOnlineStoreConfig:
    """Feast creates this class from the YAML and gets the online store configuration of the settings instead."""

    def __new__(cls, **_given: object) -> Any:
        return repo_config(project_settings()).online_store

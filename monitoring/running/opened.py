"""Opens what a run reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from leads import clock
from leads.clock import Micros
from leads.db.engine import open_engine
from leads.platform.declaration import load_platform
from leads.policies import Policies, check_types, load_policies
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from monitoring.summaries.hourly import host_id
from monitoring.watch.world import World


@contextmanager
def opened_world(settings: Settings, policies: Policies | None = None, *, now: Micros | None = None) -> Iterator[World]:
    """What a run reads, with the policies as they are now.

    Args:
        policies: instead of those of the settings.
        now: the time of the run, µs; default: the current time.

    Raises:
        ConfigurationError: the policies are invalid, or the database's schema is older than this version needs.
        Unavailable: the database doesn't respond.
    """
    policies = policies or load_policies(settings.policies)
    platform = load_platform(settings.platform)
    check_types(policies, platform, settings)
    engine = open_engine(settings, create=False)
    try:
        at = clock.now() if now is None else now
        yield World(settings, policies, platform, engine, MlflowRegistry(settings), at, host_id(settings))
    finally:
        engine.dispose()

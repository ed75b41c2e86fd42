"""Deletes old data of every kind, as `retention` in policies.yaml says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager

from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Clock, Micros
from leads.db import model_changes
from leads.db.engine import has_tables, open_engine, reading
from leads.errors import InvalidInput, LeadsError
from leads.files import only_one
from leads.policies import Policies, load_policies
from leads.retention import database, home
from leads.retention.kinds import BY_NAME, PRUNED, kept_for
from leads.retention.removal import LOCK_FILE, Pruned
from leads.settings import Settings
from models.registry.encoder_folders import prune_encoders
from models.registry.encoders import EncoderRegistry
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.removal import Removal, removable
from models.registry.versions import ALIASES_LOCK

OnPruned = Callable[[Pruned], None]


def check_kinds(kinds: Collection[str]) -> None:
    """Raises InvalidInput if one of the kinds doesn't exist, or is never deleted."""
    for name in kinds:
        if name in PRUNED:
            continue
        why = f"Data of the kind {name!r} are not deleted: {BY_NAME[name].stays}." if name in BY_NAME else ""
        raise InvalidInput(
            why or f"Kind {name!r} not found.", field="--kind", remedy=f"Use one of: {', '.join(PRUNED)}."
        )


def prune(
    settings: Settings,
    kinds: Collection[str] = PRUNED,
    *,
    dry_run: bool = False,
    on_pruned: OnPruned = lambda pruned: None,
    clock_: Clock = clock.now,
) -> list[Pruned]:
    """Delete what is older than its kind is kept. A kind that fails doesn't keep the others from being pruned.

    Args:
        dry_run: only count.
        on_pruned: called after each kind.

    Raises:
        Conflict: another process is deleting old data in this home, or is backing it up.
        ConfigurationError: the policies are invalid.
    """
    with undisturbed(settings):
        return prune_undisturbed(settings, kinds, dry_run=dry_run, on_pruned=on_pruned, clock_=clock_)


def undisturbed(settings: Settings) -> AbstractContextManager[None]:
    """While this is open, no other process deletes old data in this home or backs it up.

    Raises:
        Conflict: one does now.
    """
    return only_one(settings.root / LOCK_FILE, what="deleting old data, or writing a backup")


def prune_undisturbed(
    settings: Settings,
    kinds: Collection[str] = PRUNED,
    *,
    dry_run: bool = False,
    on_pruned: OnPruned = lambda pruned: None,
    clock_: Clock = clock.now,
) -> list[Pruned]:
    """`prune`, for callers in an `undisturbed` block."""
    policies = load_policies(settings.policies)
    done = []
    for pruned in _pruned(settings, policies, kinds, dry_run, clock_()):
        on_pruned(pruned)
        done.append(pruned)
    return done


def _pruned(
    settings: Settings, policies: Policies, kinds: Collection[str], dry_run: bool, now: Micros
) -> Iterator[Pruned]:
    for name in PRUNED:
        kept = kept_for(policies.retention, name)
        if name not in kinds or kept is None:
            continue
        try:
            yield _prune(settings, policies, name, now - kept, dry_run)
        except (LeadsError, OSError) as error:
            yield Pruned(name, trouble=str(error))


def _prune(settings: Settings, policies: Policies, name: str, before: Micros, dry_run: bool) -> Pruned:
    if name in home.PRUNES:
        return home.PRUNES[name](settings, before, dry_run)
    if name == "encoders":
        return prune_encoders(settings, before, dry_run)
    if not has_tables(settings):
        return Pruned(name)
    engine = open_engine(settings, create=False)
    try:
        if name == "versions":
            return _prune_versions(settings, policies, engine, before, dry_run)
        return database.PRUNES[name](engine, before, dry_run)
    finally:
        engine.dispose()


def _prune_versions(settings: Settings, policies: Policies, engine: Engine, before: Micros, dry_run: bool) -> Pruned:
    registry = MlflowRegistry(settings)
    if not registry.exists():
        return Pruned("versions")
    removal = Removal(settings, before, dry_run=dry_run)
    # The lock under which aliases move, so that no version gets one while it is deleted.
    with only_one(settings.root / ALIASES_LOCK, what="changing which versions serve"):
        for harm in policies.harms:
            with reading(engine) as connection:
                changes = model_changes.history(connection, harm)
            versions = registry.versions(harm)
            which = removable(versions, registry.aliases(harm).values(), changes, before)
            removal.delete_versions(registry, harm, versions, which)
        removal.delete_encoders(EncoderRegistry(settings))
        removal.delete_artifacts()
    trouble = f"{removal.elsewhere} runs have their artifacts outside this home" if removal.elsewhere else ""
    return Pruned("versions", removal.versions + removal.runs, removal.size, trouble)

"""What a changed declaration of features would change, and doing it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy.engine import Engine

from cli.ui.database import opened
from cli.ui.features.pending import restart_steps
from cli.ui.terminal import console, escape, next_steps, note, progress, table
from features.contract import FeatureContract
from features.declared import building, generations
from features.declared.changes import Changes, changes
from features.declared.generations import DeclaredFeatures, Generation
from features.declared.valueless import valueless
from features.registration.loading import OwnViews, check_types, declared_with_views
from features.registration.registering import register, unregister
from leads.db import event_log
from leads.db.engine import reading
from leads.db.progress.field_kinds import check_kinds, record_kinds
from leads.errors import Conflict, LeadsError
from leads.files import only_one
from leads.messages.wording import counted
from leads.platform.declaration import load_platform
from leads.policies import Policies
from leads.settings import Settings
from models import manifest
from models.registry.mlflow_client import Connector
from models.registry.versions import versions_cache

# Events folded per second and partition, with everything that is written; `benchmarks.scale` measures it.
_PER_SECOND = 10_000
_POLL_S = 0.5


class Dependent(NamedTuple):
    """A version with an alias that reads features which `apply` would remove or change."""

    harm: str
    version: str
    aliases: tuple[str, ...]
    features: tuple[str, ...]


def show_plan(settings: Settings, policies: Policies) -> None:
    """Print the changes, the versions that depend on what is removed or changed, and the cost."""
    declared, views = declared_with_views(settings)
    with opened(settings) as engine:
        found = _changes(settings, engine, declared)
        _print_valueless(settings, policies, engine)
        if not _print_changes(found, views, settings):
            return
        dependents = list(_dependents(settings, policies, found))
        _print_dependents(dependents)
        if found.needs_rows:
            _print_cost(settings, engine)
    if not dependents:
        next_steps(
            *restart_steps(settings),
            ("leads features apply", "build the rows and make the features live"),
            settings=settings,
        )


def apply_features(settings: Settings, policies: Policies, *, quiet: bool) -> None:
    """Build the rows of the declared features, and wait until they are live. Register own views in Feast.

    Raises:
        Conflict: a version with an alias needs a feature that is removed or changed, or the command runs already.
    """
    declared, views = declared_with_views(settings)
    with opened(settings) as engine, only_one(settings.root / "features.lock", what="leads features apply"):
        found = _changes(settings, engine, declared)
        _print_valueless(settings, policies, engine)
        has_changes = _print_changes(found, views, settings)
        dependents = list(_dependents(settings, policies, found))
        if dependents:
            _print_dependents(dependents)
            raise Conflict(
                "Versions that serve need features that would be changed or removed.",
                field=str(settings.platform),
                remedy="Give changed features new names, train and promote versions without the old ones, then remove "
                "those: leads train HARM",
            )
        with engine.begin() as connection:
            record_kinds(connection, load_platform(settings.platform))
        if views.declared:
            # Also without changes: Feast's registry may have been deleted.
            register(settings, views)
        if not has_changes:
            return
        before = _live(engine)
        _make_live(settings, engine, declared, found)
        gone = before.declared.views.keys() - declared.views.keys()
        if gone:
            unregister(settings, gone)
    if not quiet and found.names_more_than_words:
        steps = [("leads features materialize", "write the values of your own views to the online store")]
        next_steps(
            *restart_steps(settings),
            *(steps if views.declared else ()),
            ("leads train --all", "train versions with the new features"),
            ("leads features list", "see all live features"),
            settings=settings,
        )


def _make_live(settings: Settings, engine: Engine, declared: DeclaredFeatures, found: Changes) -> None:
    if not found.needs_rows:
        with engine.begin() as connection:
            live = generations.live_generation(connection)
            generations.redeclare(connection, live.number, declared)
        what = "The features are live." if found.names_more_than_words else "Changed the words of live features."
        note(f"{what} No rows had to be built.")
        return
    generation = building.start(settings, engine, declared)
    if generation.state == "building":
        with progress("events processed") as tell:
            building.build(settings, engine, generation, on_progress=tell)
    _go_live(settings, engine, generation.number)
    note("The features are live. Versions that are trained from now on have them.")


def _go_live(settings: Settings, engine: Engine, number: int) -> None:
    """Let the workers take over; without workers, do it here."""
    from serving.worker.run import bring_features_live

    with console.status("waiting for the workers to take the rows over"):
        while not _is_live(engine, number):
            try:
                bring_features_live(settings)
            except Conflict:
                # A worker runs: it notices within a second.
                time.sleep(_POLL_S)


def _is_live(engine: Engine, number: int) -> bool:
    return _live(engine).number == number


def _live(engine: Engine) -> Generation:
    with reading(engine) as connection:
        return generations.live_generation(connection)


def _changes(settings: Settings, engine: Engine, declared: DeclaredFeatures) -> Changes:
    with reading(engine) as connection:
        check_kinds(connection, load_platform(settings.platform), settings.platform)
    live = _live(engine)
    check_types(live.declared.views, declared.views)
    return changes(live, declared)


def _print_valueless(settings: Settings, policies: Policies, engine: Engine) -> None:
    with reading(engine) as connection:
        found = valueless(connection, load_platform(settings.platform), policies)
    for text in found:
        note(f"[yellow]warning:[/yellow] {escape(text)}")


def _print_changes(found: Changes, views: OwnViews, settings: Settings) -> bool:
    """Print what changes; returns whether anything does."""
    if views.left_out:
        note(f"Left out, because they aren't numbers: {escape(', '.join(views.left_out))}")
    rows = [
        (escape(name), what)
        for what, names in (
            ("new", found.new),
            ("changed", found.changed),
            ("removed", found.removed),
            ("words changed", [name for name in found.reworded if ":" not in name]),
            ("words or source changed", [name for name in found.reworded if ":" in name]),
        )
        for name in names
    ]
    if not rows:
        note(f"Nothing to do: {counted(len(found.unchanged), 'feature')} declared, all live.")
        next_steps(*restart_steps(settings), ("leads features list", "see all live features"))
        return False
    console.print(table("Changes", ("feature", "change"), rows))
    return True


def _print_dependents(found: list[Dependent]) -> None:
    if found:
        rows = [(one.harm, one.version, ", ".join(one.aliases), ", ".join(one.features)) for one in found]
        console.print(table("Versions that need them", ("harm", "version", "alias", "needs"), rows))
    else:
        note("No version that serves depends on what is changed or removed.")


def _print_cost(settings: Settings, engine: Engine) -> None:
    with reading(engine) as connection:
        events = event_log.head(connection).offset
    minutes = events / _PER_SECOND / 60
    size = sum(path.stat().st_size for path in settings.features_dir.rglob("*") if path.is_file())
    duration = "less than a minute" if minutes < 1 else f"about {minutes:,.0f} minutes"
    of_each = f" for each of {settings.partitions} partitions" if settings.partitions > 1 else ""
    note(
        f"Building the rows reads {counted(events, 'event')}: {duration}{of_each}. Until "
        f"the old rows are deleted, features need twice the space, which is {size / 1e9:,.2f} GB in LEADS_HOME now."
    )


def _dependents(settings: Settings, policies: Policies, found: Changes) -> Iterator[Dependent]:
    """The versions with an alias, in the registry, that need what would be changed or removed."""
    if not (found.changed or found.removed):
        return
    if not Connector(settings).exists():
        return
    from models.registry.mlflow_registry import MlflowRegistry

    registry = MlflowRegistry(settings)
    for harm in policies.harms:
        versions: dict[str, list[str]] = {}
        for alias, version in registry.aliases(harm).items():
            versions.setdefault(version, []).append(alias)
        for version, aliases in versions.items():
            try:
                folder = registry.fetch(harm, version, versions_cache(settings, harm))
                contract = FeatureContract.from_json(manifest.read_file(folder, manifest.CONTRACT))
            except LeadsError:
                continue
            missing = found.missing_in(contract)
            if missing:
                yield Dependent(harm, version, tuple(aliases), tuple(missing))

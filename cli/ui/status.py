"""What exists in a home, how much of the event log each part has processed, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cli.ui import places
from cli.ui.corpora import print_corpora
from cli.ui.database import database_exists, opened
from cli.ui.terminal import age, console, escape, minute, next_steps, note, table
from cli.ui.worker import NO_EVENTS, TRAIN_CSV, never_scored
from features.declared.generations import coming_generation, live_features
from features.offline.segments import segments_of
from features.partition import Partition
from leads import clock
from leads.clock import Micros
from leads.db import canary_retreats, cursors, event_log, tables
from leads.db.canary_retreats import Retreat
from leads.db.engine import database_url, reading, schema_revision
from leads.db.model_changes import CHALLENGER, CHAMPION
from leads.errors import ConfigurationError, LeadsError
from leads.files import readable_by_others
from leads.policies import Policies
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from serving.queue import states
from serving.queue.stats import Depth, depths
from serving.versions.published_state import PublishedState, is_followed, read_state

# The follower of a running service looks more often, unless the registry is down.
_RUNNING_S = 120
# Promotions that are suggested at most.
_MOST_STEPS = 3


class Counts(NamedTuple):
    """What the database holds; `coming` is the number of a generation of features that isn't live yet, 0 for none."""

    revision: str
    events: int
    newest: Micros
    scored: int
    leads: Mapping[str, Depth]
    keys: int
    retreats: Mapping[tuple[str, str], Retreat]
    rebuilding: bool
    coming: int


def show_status(settings: Settings, policies: Policies) -> None:
    """Show what exists, and the next step.

    Raises:
        ConfigurationError: the database's schema is older than this version needs.
    """
    title, counts = f"Lead Serving in {escape(str(settings.root))}", _counts(settings, policies)
    if counts is None:
        note(f"{title}\nThere is no database yet.")
        print_corpora(settings)
        next_steps(
            ("leads demo", "run the whole loop on a simulated platform"),
            (TRAIN_CSV, "train on labels of your own; it needs nothing else"),
            ("leads migrate", "create an empty database"),
        )
        return
    (folded, fault), (published, trouble) = _folded(settings), _published(settings)
    champions = {harm: one.champion for harm, one in published.harms.items() if one.champion}
    registered = {} if champions else _registered(settings, policies)
    trained = {harm: aliases[CHAMPION] for harm, aliases in registered.items() if CHAMPION in aliases}
    waiting = {harm: aliases[CHALLENGER] for harm, aliases in registered.items() if CHALLENGER in aliases}
    rows = [
        ("database", f"{places.database(settings)}, schema revision {counts.revision}"),
        ("online store", places.online_store(settings)),
        ("state store", places.state_store(settings)),
        ("MLflow", places.mlflow(settings)),
        ("partitions", f"{settings.partitions:,}"),
        ("events", f"{counts.events:,}" + (f", newest {minute(counts.newest)} UTC" if counts.events else "")),
        ("features", fault or _features(counts, folded, settings)),
        ("scores", _reach(counts.scored, counts.events)),
        *_never_scored(settings, policies, champions),
        ("champions", trouble or _versions(champions) or _unpublished(trained)),
        *_trials(published, counts.retreats),
        *_refused(published),
        *_outdated(published, policies),
        *_leads(counts),
        ("API keys", f"{counts.keys:,} valid"),
    ]
    console.print(table(title, ("part", "state"), [(name, escape(value)) for name, value in rows]))
    print_corpora(settings)
    _warn_if_readable(settings)
    running = is_followed(settings.published_dir)
    if running:
        note("\n[bold]leads serve[/bold] is running in this home.")
    if fault:
        next_steps(("leads worker --rebuild --once", "derive the feature rows again from the event log"))
    else:
        next_steps(
            *_missing(counts, folded, waiting, published=bool(champions), trained=bool(trained), running=running)
        )


def _warn_if_readable(settings: Settings) -> None:
    """Warn if other users of this host can read texts, reasons or hashes of keys, and say how to prevent it."""
    places, url = [settings.root], database_url(settings)
    if url.get_backend_name() == "sqlite" and url.database and settings.root not in Path(url.database).parents:
        places.append(Path(url.database))
    for place in places:
        found = readable_by_others(place)
        if found is not None:
            note(f"\n[yellow]warning:[/yellow] Other users of this host can read {escape(str(found))}.")
            note(f"  To prevent it: [bold]chmod -R go= {escape(shlex.quote(str(place)))}[/bold]")
            return


def _counts(settings: Settings, policies: Policies) -> Counts | None:
    """None if there is no database, or one without tables."""
    if not database_exists(settings):
        return None
    with opened(settings, create=False) as engine:
        return _count(engine, settings.partitions, policies)


def _count(engine: Engine, partitions: int, policies: Policies) -> Counts:
    keys = tables.api_keys
    revision = schema_revision(engine)
    with reading(engine) as connection:
        head = event_log.head(connection)
        # A harm that was removed from the policies still has its leads.
        harms = {*policies.harms, *(harm for harm, _ in states.counts(connection))}
        valid = sa.select(sa.func.count()).select_from(keys).where(keys.c.revoked_at.is_(None))
        return Counts(
            revision or "unknown",
            head.offset,
            head.visible_at,
            cursors.scored(connection, partitions),
            {harm: one for harm, one in depths(connection, harms).items() if any(one.leads.values())},
            connection.execute(valid).scalar_one(),
            canary_retreats.standing(connection),
            cursors.rebuilding(connection, partitions),
            coming.number if (coming := coming_generation(connection)) else 0,
        )


def _leads(counts: Counts) -> list[tuple[str, str]]:
    """A row per harm: how many leads there are by state, and how long the oldest open one has waited."""
    rows = []
    for harm, depth in counts.leads.items():
        text = ", ".join(f"{count:,} {state}" for state, count in depth.leads.items() if count)
        if depth.oldest is not None:
            text += f"; the oldest open one has waited {age(clock.now() - depth.oldest)}"
        rows.append((f"leads, {harm}", text))
    return rows or [("leads", "none")]


def _features(counts: Counts, folded: int, settings: Settings) -> str:
    """Up to which event there are features."""
    text = ("being computed again, " if counts.rebuilding else "") + _reach(folded, counts.events)
    if folded < counts.scored and not counts.rebuilding:
        text += f" in the segments, which are written about every {settings.segment_flush_s:g} s; scores can be ahead"
    if counts.coming:
        text += f"; generation {counts.coming} of the features is being built (leads features list)"
    return text


def _folded(settings: Settings) -> tuple[int, str]:
    """What `folded_up_to` returns, or what is wrong with the feature rows."""
    try:
        return folded_up_to(settings), ""
    except ConfigurationError as error:
        return 0, str(error)


def _published(settings: Settings) -> tuple[PublishedState, str]:
    """The published state, or what is wrong with it."""
    try:
        return read_state(settings.published_dir), ""
    except LeadsError as error:
        return PublishedState(), str(error)


def folded_up_to(settings: Settings) -> int:
    """The last event whose features are in segments, for every partition.

    Raises:
        ConfigurationError: the feature rows can't be used.
    """
    shares = [Partition(i, settings.partitions) for i in range(settings.partitions)]
    features = live_features(settings)
    return min(segments_of(settings, share, features).manifest().offset for share in shares)


def _registered(settings: Settings, policies: Policies) -> dict[str, dict[str, str]]:
    """The registry's aliases by harm; empty if there is no registry or it doesn't answer."""
    registry = MlflowRegistry(settings)
    try:
        return {harm: registry.aliases(harm) for harm in policies.harms}
    except LeadsError:
        return {}


def _outdated(state: PublishedState, policies: Policies) -> list[tuple[str, str]]:
    """A row if a running service has read other policies than the file holds now."""
    running = clock.now() - state.checked_at < _RUNNING_S * clock.SECOND
    if not (running and state.policies) or state.policies == policies.digest:
        return []
    return [("policies", "changed since the service started; restart leads serve to apply them")]


def _never_scored(settings: Settings, policies: Policies, champions: Collection[str]) -> list[tuple[str, str]]:
    """A row with the harms that have subjects which were never scored, if there are any."""
    with opened(settings, create=False) as engine, console.status("looking for subjects that were never scored"):
        found = never_scored(engine, settings, policies, champions)
    return [("never scored", ", ".join(f"{harm}: {count}" for harm, count in found.items()))] if found else []


def _reach(offset: int, events: int) -> str:
    if not events:
        return "none"
    return f"up to date, to event {offset:,}" if offset >= events else f"behind: event {offset:,} of {events:,}"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{harm} v{version}" for harm, version in versions.items())


def _unpublished(trained: Mapping[str, str]) -> str:
    return f"none published; trained: {_versions(trained)}" if trained else "none"


def _trials(state: PublishedState, retreats: Mapping[tuple[str, str], Retreat]) -> list[tuple[str, str]]:
    """Rows for canaries and challengers, if there are any."""
    canaries = {harm: one.canary for harm, one in state.harms.items() if one.canary}
    challengers = {harm: one.challenger for harm, one in state.harms.items() if one.challenger}
    rows = []
    if canaries:
        said = {key: f" (retreated: {one.why})" for key, one in retreats.items()}
        rows.append(("canaries", "; ".join(f"{harm} v{v}{said.get((harm, v), '')}" for harm, v in canaries.items())))
    if challengers:
        rows.append(("challengers", _versions(challengers)))
    return rows


def _refused(state: PublishedState) -> list[tuple[str, str]]:
    """A row with the versions that failed their checks, if there are any."""
    said = [f"{harm} v{version}: {why}" for harm, one in state.harms.items() for version, why in one.refused.items()]
    return [("refused", "; ".join(said))] if said else []


def _missing(
    counts: Counts, folded: int, waiting: Mapping[str, str], *, published: bool, trained: bool, running: bool
) -> Sequence[tuple[str, str]]:
    """What is missing first: features, a promotion, events, models, a key; if nothing is, the service.

    Whoever has only labels of their own needs no events: their champion scores texts over HTTP.

    Args:
        running: the service runs, with a worker unless that was ruled out.
    """
    if folded < counts.events:
        if running:
            return (("leads status", "see how far the worker is; without one (--no-worker), run leads worker"),)
        return (("leads worker --once", "compute features from the new events, and score them"),)
    if not published and not trained:
        promotions = [
            (f"leads models promote {harm} {version}", "make it the champion, if it passes the gate")
            for harm, version in waiting.items()
        ]
        if promotions:
            return (*promotions[:_MOST_STEPS], ("leads models list", "see all versions"))
        if not counts.events:
            return NO_EVENTS
        return (("leads train --all", "train a model version for each harm"),)
    after = _after_serving(counts)
    if running:
        return (after,)
    return ("leads serve", "publish the trained versions and score over HTTP" if trained else "score over HTTP"), after


def _after_serving(counts: Counts) -> tuple[str, str]:
    if not counts.keys:
        return "leads keys create NAME", "create an API key"
    if not counts.events:
        return "leads ingest FILE", "append events to the log, to get leads"
    return "leads queue", "show the leads"

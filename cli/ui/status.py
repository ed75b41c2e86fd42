"""Whether each part works, what exists in a home, how far each part is in the event log, and what to do next."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cli.checks.contents import Counts, counts_of
from cli.checks.findings import Finding
from cli.checks.run import check_status
from cli.ui.checks import print_findings
from cli.ui.corpora import print_corpora
from cli.ui.database import opened
from cli.ui.features.pending import apply_steps
from cli.ui.monitoring.overview import overview_document, show_overview
from cli.ui.terminal import age, console, escape, minute, next_steps, note, table
from cli.ui.worker import NO_EVENTS, TRAIN_CSV, never_scored
from features.declared.generations import live_features
from features.offline.segments import segments_of
from features.partition import Partition
from leads import clock
from leads.db.canary_retreats import Retreat
from leads.db.engine import database_exists
from leads.db.model_changes import CHALLENGER, CHAMPION
from leads.errors import ConfigurationError, LeadsError
from leads.policies import Policies
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from serving.versions.published_state import PublishedState, is_followed, read_state
from training.data.label_files import harms_with_files

# Promotions that are suggested at most.
_MOST_STEPS = 3


def show_status(settings: Settings, policies: Policies) -> list[Finding]:
    """Show whether each part works, what exists, and the next step; returns what the checks found.

    Raises:
        ConfigurationError: the database's schema is older than this version needs.
        Unavailable: the database doesn't answer.
    """
    with console.status("checking"):
        findings = check_status(settings)
    title = f"Lead Serving in {escape(str(settings.root))}"
    print_findings(title, findings)
    counts = counts_of(settings, policies)
    if counts is None:
        _show_start(settings)
    else:
        _show_contents(settings, policies, counts)
    return findings


def _show_start(settings: Settings) -> None:
    """What to do where nothing is stored yet."""
    exists = database_exists(settings)
    note("\nThe database has no tables yet." if exists else "\nThere is no database yet.")
    print_corpora(settings)
    steps = [
        ("leads demo", "run the whole loop on a simulated platform"),
        (TRAIN_CSV, "train on labels of your own; it needs nothing else"),
        ("leads migrate", "create the tables" if exists else "create an empty database"),
    ]
    # Whoever has made a database wants to use it.
    next_steps(*(steps[::-1] if exists else steps))


def status_document(settings: Settings, policies: Policies) -> tuple[list[Finding], dict[str, Any]]:
    """What the checks found, and what the home contains, for programs; null without a database that works."""
    findings = check_status(settings)
    try:
        counts = counts_of(settings, policies)
    except LeadsError:
        counts = None
    if counts is None:
        return findings, {"home": str(settings.root), "contents": None, "monitoring": None}
    published, _ = _published(settings)
    contents = {
        "schema_revision": counts.revision,
        "events": counts.events,
        "newest_event_at": clock.to_text(counts.newest) if counts.events else None,
        "partitions": settings.partitions,
        "features_up_to": _folded(settings)[0],
        "scored_up_to": counts.scored,
        "champions": {harm: one.champion for harm, one in published.harms.items() if one.champion},
        "leads": {harm: dict(depth.leads) for harm, depth in counts.leads.items()},
        "api_keys": counts.keys,
    }
    measured = overview_document(settings, policies)
    return findings, {"home": str(settings.root), "contents": contents, "monitoring": measured}


def _show_contents(settings: Settings, policies: Policies, counts: Counts) -> None:
    (folded, fault), (published, trouble) = _folded(settings), _published(settings)
    champions = {harm: one.champion for harm, one in published.harms.items() if one.champion}
    registered = {} if champions else _registered(settings, policies)
    trained = {harm: aliases[CHAMPION] for harm, aliases in registered.items() if CHAMPION in aliases}
    waiting = {harm: aliases[CHALLENGER] for harm, aliases in registered.items() if CHALLENGER in aliases}
    rows = [
        ("partitions", f"{settings.partitions:,}"),
        ("events", f"{counts.events:,}" + (f", newest {minute(counts.newest)} UTC" if counts.events else "")),
        ("features", fault or _features(counts, folded, settings)),
        ("scores", _reach(counts.scored, counts.events)),
        *_never_scored(settings, policies, champions),
        ("champions", trouble or _versions(champions) or _unpublished(trained)),
        *_trials(published, counts.retreats),
        *_refused(published),
        *_damaged(published),
        *_leads(counts),
        *_imported(settings),
        ("API keys", f"{counts.keys:,} valid"),
    ]
    console.print(table("Contents", ("part", "state"), [(name, escape(value)) for name, value in rows]))
    show_overview(settings, policies, counts)
    print_corpora(settings)
    running = is_followed(settings.published_dir)
    if running:
        note("\n[bold]leads serve[/bold] is running in this home.")
    if fault:
        next_steps(("leads worker --rebuild --once", "derive the feature rows again from the event log"))
    else:
        with opened(settings, create=False) as engine:
            unapplied = apply_steps(settings, engine) if counts.events else ()
        rest = _missing(
            counts,
            folded,
            waiting,
            imported=bool(harms_with_files(settings)),
            published=bool(champions),
            trained=bool(trained),
            running=running,
        )
        next_steps(*unapplied, *rest)


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


def _damaged(state: PublishedState) -> list[tuple[str, str]]:
    """A row with the published versions whose files are damaged and couldn't be fetched again, if there are any."""
    said = [f"{harm} v{version}: {why}" for harm, one in state.harms.items() for version, why in one.damaged.items()]
    return [("damaged", "; ".join(said))] if said else []


def _imported(settings: Settings) -> list[tuple[str, str]]:
    """A row with the harms for which labels were imported, if there are any."""
    harms = harms_with_files(settings)
    return [("imported labels", f"of {', '.join(harms)}")] if harms else []


def _missing(
    counts: Counts,
    folded: int,
    waiting: Mapping[str, str],
    *,
    imported: bool,
    published: bool,
    trained: bool,
    running: bool,
) -> Sequence[tuple[str, str]]:
    """What is missing first: features, a promotion, events, models, a key; if nothing is, the service.

    Whoever has only labels of their own needs no events: their champion scores texts over HTTP.

    Args:
        imported: labels were imported from files.
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
        if not counts.events and not imported:
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

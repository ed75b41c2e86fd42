"""What the command line shows of keys, queue, scores and status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from rich.markup import escape

from cli.ui.terminal import console, next_steps, note, table
from features.fold.fold import Partition
from features.offline.segments import Segments
from leads import clock
from leads.db import canary_retreats, event_log, keys
from leads.db import tables as t
from leads.db.canary_retreats import Retreat
from leads.db.engine import open_engine, reading
from leads.errors import InvalidInput, LeadsError
from leads.events import Subject
from leads.policies import load_policies
from leads.settings import Settings
from serving.queue import queue as lead_queue
from serving.queue.leads_table import STATES, Lead
from serving.scoring.reasons import Reason
from serving.versions.published_state import State, read_state


def create_key_on_screen(
    settings: Settings,
    name: str,
    *,
    scopes: Sequence[str] | None,
    harms: Sequence[str] | None,
    rate: float | None = None,
) -> None:
    """Make a key and print it, once."""
    policies = load_policies(settings.policies)
    for harm in harms or ():
        policies.harm(harm, field="--harm")
    chosen = tuple(scopes or ("score", "leads:read", "leads:decide", "events:write"))
    created = keys.create(open_engine(settings), name, chosen, harms=harms or None, rate=rate)
    note(f"Key {created.key.id} for {escape(name)}, scopes {', '.join(chosen)}. It is shown once; keep it secret:")
    console.print(f"\n  {created.text}\n", soft_wrap=True)
    address = f"http://{settings.host}:{settings.port}"
    next_steps(
        ("leads serve", "start the service"),
        (f"curl -H 'x-api-key: {created.text[:6]}…' {address}/v1/leads", "ask it"),
    )


def keys_on_screen(settings: Settings) -> None:
    """Every key, without its secret."""
    rows = [
        (
            key.id,
            escape(key.name),
            ", ".join(sorted(key.scopes)),
            ", ".join(sorted(key.harms)) if key.harms else "all",
            _rate(settings, key.rate),
            clock.to_text(key.created_at)[:19],
            "revoked" if key.revoked_at else "valid",
        )
        for key in keys.listing(open_engine(settings))
    ]
    if rows:
        console.print(
            table("API keys", ("id", "name", "scopes", "harms", "requests/s", "created (UTC)", "state"), rows)
        )
    else:
        note("There is no key yet.")
    next_steps(("leads keys create NAME", "make one"), ("leads keys revoke ID", "end one"))


def _rate(settings: Settings, own: float | None) -> str:
    rate = settings.rate_limit if own is None else own
    return f"{rate:g}" if rate else "no limit"


def revoke_key_on_screen(settings: Settings, key_id: str) -> None:
    """End a key."""
    keys.revoke(open_engine(settings), key_id)
    note(f"Key {key_id} is revoked; servers notice within five seconds.")


def queue_on_screen(settings: Settings, *, harm: str | None, state: str, limit: int) -> None:
    """The ranked queue."""
    policies = load_policies(settings.policies)
    if harm is not None:
        policies.harm(harm, field="--harm")
    if state not in (*STATES, "all"):
        raise InvalidInput(
            f"There is no state {state!r}.", field="--state", remedy=f"One of: {', '.join(STATES)}, all."
        )
    chosen = None if state == "all" else next(known for known in STATES if known == state)
    with reading(open_engine(settings)) as connection:
        page = lead_queue.listing(
            connection,
            queue=policies.queue,
            now=clock.now(),
            harms=[harm] if harm else None,
            state=chosen,
            limit=limit,
        )
    if not page.leads:
        note("No lead is in the queue." if state == "open" else f"No lead is {state}.")
        next_steps(("leads status", "what is missing"), ("leads demo", "see the whole loop"))
        return
    columns = ("lead", "harm", "subject", "score", "tier", "priority", "why", "model")
    console.print(table(f"Leads, {state}", columns, map(_lead_row, page.leads), right=("score", "priority")))
    next_steps(("leads serve", "claim and decide them over HTTP"), (f"leads queue --limit {limit * 2}", "more of them"))


def _lead_row(lead: Lead) -> tuple[str, ...]:
    return (
        lead.id[:10],
        lead.harm,
        lead.subject.key,
        f"{lead.score:.3f}",
        lead.tier,
        f"{lead.priority:.1f}",
        reasons_text(lead.reasons),
        f"v{lead.model_version}",
    )


def reasons_text(reasons: Sequence[Reason]) -> str:
    """The strongest reasons, readable."""
    return "; ".join(reason.text for reason in reasons[:3]) or "–"


def score_on_screen(
    settings: Settings, *, subject: str | None, text: str | None, type_id: str, harms: Sequence[str] | None
) -> None:
    """Score one subject with the published versions."""
    from features.online.reader import open_reader
    from leads.predictions.log import PredictionLog
    from serving.scoring.inputs import ScoreRequest
    from serving.scoring.scorer import Scorer
    from serving.versions.published import Published
    from serving.worker.run import follow_once

    if subject is not None and not all(subject.partition(":")):
        raise InvalidInput(
            f"{subject!r} is no subject.", field="SUBJECT", remedy="Write TYPE:ID, for example comment:c12."
        )
    request = ScoreRequest(
        Subject.of_key(subject) if subject else Subject(type_id, "given-text"),
        harms=tuple(harms) if harms else None,
        text=text,
    )
    policies = load_policies(settings.policies)
    follow_once(settings)
    engine = open_engine(settings)
    published = Published(settings, policies, engine)
    published.refresh()
    reader, log = open_reader(settings), PredictionLog(settings.predictions_dir, owner="cli")
    try:
        scorer = Scorer(engine, policies, reader, published, log)
        scored = scorer.score([request], clock.now(), "api", explained="all")
    finally:
        log.close()
        reader.close()
    errors = [entry.error for entry in scored.errors]
    scores = [answer for group in scored.groups for answer in group.answers()]
    if not scores:
        raise errors[0] if errors else LeadsError("Nothing was scored.")
    rows = [
        (
            a.harm,
            f"{a.score:.3f}",
            a.tier,
            reasons_text(a.reasons or ()),
            f"{a.model} v{a.version}",
            ", ".join(a.degraded),
        )
        for a in scores
    ]
    console.print(table("Scores", ("harm", "score", "tier", "why", "model", "flags"), rows, right=("score",)))
    for error in errors:
        note(f"[yellow]{escape(str(error))}[/yellow]")


def status_on_screen(settings: Settings) -> None:
    """What there is, and the next step that is missing."""
    engine = open_engine(settings)
    with reading(engine) as connection:
        head = event_log.head(connection)
        scored = event_log.scored(connection, settings.partitions)
        counted = connection.execute(sa.select(t.leads.c.state, sa.func.count()).group_by(t.leads.c.state)).all()
        has_key = connection.execute(
            sa.select(t.api_keys.c.id).where(t.api_keys.c.revoked_at.is_(None)).limit(1)
        ).first()
        retreats = canary_retreats.standing(connection)
    shares = [Partition(i, settings.partitions) for i in range(settings.partitions)]
    folded = min(Segments(settings.features_dir / "segments", share).manifest().offset for share in shares)
    state = read_state(settings.published_dir)
    champions = {harm: one.champion for harm, one in state.harms.items() if one.champion}
    refused = {harm: dict(one.refused) for harm, one in state.harms.items() if one.refused}
    rows = [
        ("home", str(settings.root)),
        (
            "events",
            f"{head.offset:,}" + (f", the newest at {clock.to_text(head.visible_at)[:19]}Z" if head.offset else ""),
        ),
        ("features", f"{folded:,} of {head.offset:,} events in segments ({settings.online_store} online)"),
        ("scored", f"{scored:,} of {head.offset:,} events"),
        ("champions", ", ".join(f"{harm} v{version}" for harm, version in champions.items()) or "none published"),
        *_on_trial(state, retreats),
        (
            "refused",
            "; ".join(f"{harm} v{v}: {why}" for harm, one in refused.items() for v, why in one.items()) or "none",
        ),
        ("leads", ", ".join(f"{count:,} {name}" for name, count in counted) or "none"),
        ("corpora", str(settings.corpora_dir or "not found; texts come from templates")),
    ]
    console.print(table("Lead Serving", ("part", "state"), [(name, escape(value)) for name, value in rows]))
    next_steps(_missing(head.offset, folded, bool(champions), bool(has_key)))


def _on_trial(state: State, retreats: Mapping[tuple[str, str], Retreat]) -> list[tuple[str, str]]:
    """Rows on canaries and challengers, where there are any."""
    canaries = {harm: one.canary for harm, one in state.harms.items() if one.canary}
    challengers = {harm: one.challenger for harm, one in state.harms.items() if one.challenger}
    rows = []
    if canaries:
        said = {key: f" (retreated: {one.why})" for key, one in retreats.items()}
        rows.append(("canaries", "; ".join(f"{harm} v{v}{said.get((harm, v), '')}" for harm, v in canaries.items())))
    if challengers:
        rows.append(("challengers", ", ".join(f"{harm} v{version}" for harm, version in challengers.items())))
    return rows


def _missing(events: int, folded: int, champions: bool, has_key: bool) -> tuple[str, str]:
    if not events:
        return ("leads simulate", "make events to work on, or: leads ingest FILE")
    if folded < events:
        return ("leads worker --once", "derive features from the new events")
    if not champions:
        return ("leads train --all", "train on them")
    if not has_key:
        return ("leads keys create NAME", "a key for the API")
    return ("leads serve", "answer over HTTP")

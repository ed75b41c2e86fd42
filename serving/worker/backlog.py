"""The backlog of a harm: subjects that no event has touched since the harm got its first champion.

The worker scores a subject when an event touches it, so it never scored these.

Nothing scores a backlog by itself: it could fill the queue with old items. `score_backlog` does it when asked, newest
subjects first. After each batch, the part of the log that is unscored ends before the batch, in the transaction that
opens the leads. So it can be interrupted and repeated, and what was scored is never scored again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.db import cursors, event_log
from leads.db.engine import reading
from leads.db.progress import unscored
from leads.db.progress.unscored import Part
from leads.db.scans.rows import TOUCHING, LogRow, scan, touched_by_row
from leads.errors import Conflict, LeadsError, NotFound
from leads.events import Subject
from leads.files import only_one
from leads.policies import Policies
from leads.rules import needs_item
from leads.settings import Settings
from serving.scoring.planning import no_model
from serving.worker.lead_scoring import LeadScorer
from serving.worker.parts import database, open_scoring

_CHUNK = 1_000
OnProgress = Callable[[str, int, int], None]


class Waiting(NamedTuple):
    """A subject that was never scored for a harm, and its last event that could have been a reason to score it."""

    subject: Subject
    offset: int
    at: Micros


class HarmBacklog(NamedTuple):
    """What became of a harm's backlog.

    Args:
        waiting: subjects that had never been scored; `left`: those that still haven't.
        scored, opened, failed: subjects scored, leads opened, subjects that can't be scored.
        error: why the harm can't be scored at present, although it should have a champion; None if it can.
    """

    harm: str
    waiting: int
    scored: int
    opened: int
    failed: int
    left: int
    error: LeadsError | None = None


def find_backlog(
    engine: Engine,
    policies: Policies,
    harms: Collection[str],
    partitions: int,
    *,
    on_progress: OnProgress = lambda step, done, total: None,
) -> dict[str, list[Waiting]]:
    """The subjects by harm that were never scored for it, newest first; harms without any are absent.

    Reads the whole event log if there are any: plays touch accounts, and an account's plays have no index.
    """
    with reading(engine) as connection:
        up_to = cursors.scored(connection, partitions)
        # The database may know harms that policies.yaml no longer declares.
        wanted = policies.harms.keys() & set(harms)
        parts = {harm: found for harm, found in unscored.parts(connection).items() if harm in wanted}
    if not parts:
        return {}
    last, scored = _touches(policies, parts, scan(engine, TOUCHING, up_to=up_to), up_to, on_progress)
    found: dict[str, list[Waiting]] = {}
    for harm in parts:
        types = policies.harm(harm).subject_types
        waiting = [one for subject, one in last.items() if subject.type_id in types and subject not in scored[harm]]
        if waiting:
            found[harm] = sorted(waiting, key=lambda one: one.offset, reverse=True)
    return found


def score_backlog(
    settings: Settings,
    policies: Policies,
    harms: Sequence[str] | None = None,
    *,
    since: Micros | None = None,
    limit: int | None = None,
    on_progress: OnProgress = lambda step, done, total: None,
) -> list[HarmBacklog]:
    """Score subjects that were never scored for a harm, as of the last event that the worker has scored.

    Args:
        harms: default: all that have a champion. Those whose champion can't be loaded at present have an error.
        since: only subjects whose last event became visible at this time or later, µs.
        limit: score at most this many subjects per harm, and those whose last event is the same.

    Raises:
        NotFound: a harm doesn't exist or has no champion, or no harm has one.
        Conflict: another process scores the backlog, or feature rows are being computed again.
        Unavailable: the online store or the database doesn't respond. What was scored stays scored. Or the champion of
            a harm among `harms` can't be loaded.
    """
    with ExitStack() as closing:
        closing.enter_context(only_one(settings.root / "score-backlog.lock", what="scoring the backlog"))
        engine = closing.enter_context(database(settings))
        parts = closing.enter_context(open_scoring(settings, policies, engine))
        lineup = parts.published.lineup()
        absent = {} if harms else {harm: no_model(lineup, harm) for harm in policies.harms if harm in lineup.absent}
        chosen = harms or [harm for harm in policies.harms if harm in lineup.champions]
        if not chosen:
            raise no_model(lineup, *absent) if absent else no_champion()
        for harm in chosen:
            policies.harm(harm, field="--harm")
            if harm in lineup.absent:
                raise no_model(lineup, harm)
            if harm not in lineup.champions:
                raise NotFound(f"{harm} has no champion yet.", field="--harm", remedy=f"Train one: leads train {harm}")
        found = find_backlog(engine, policies, chosen, settings.partitions, on_progress=on_progress)
        scorer = LeadScorer(policies, engine, parts.scorer)
        done = [
            _score_harm(settings, engine, scorer, harm, found.get(harm, []), since, limit, on_progress)
            for harm in chosen
        ]
        return [*done, *(HarmBacklog(harm, 0, 0, 0, 0, 0, error) for harm, error in absent.items())]


def no_champion() -> NotFound:
    """The error if no harm has a champion to score with."""
    return NotFound("No harm has a champion yet.", remedy="Train one: leads train --all")


def _score_harm(
    settings: Settings,
    engine: Engine,
    scorer: LeadScorer,
    harm: str,
    waiting: Sequence[Waiting],
    since: Micros | None,
    limit: int | None,
    on_progress: OnProgress,
) -> HarmBacklog:
    chosen = [one for one in waiting if since is None or one.at >= since]
    total = len(chosen) if limit is None else min(len(chosen), limit)
    done = opened = failed = 0
    for batch in _batches(chosen, limit):
        with reading(engine) as connection:
            if cursors.rebuilding(connection, settings.partitions):
                raise Conflict(
                    "Feature rows are being computed again.",
                    remedy="Wait until the worker is done, or run: leads worker --once",
                )
            at = event_log.visible_at(connection, cursors.scored(connection, settings.partitions))

        def shorten(connection: Connection, up_to: int = batch[-1].offset - 1) -> None:
            unscored.shorten(connection, harm, up_to)

        outcome = scorer.score([one.subject for one in batch], at, harm=harm, then=shorten)
        done, opened, failed = done + len(batch), opened + outcome.opened, failed + outcome.failed
        on_progress(f"{harm}: subjects scored", done, max(done, total))
    return HarmBacklog(harm, len(waiting), done - failed, opened, failed, len(waiting) - done)


def _batches(waiting: Sequence[Waiting], limit: int | None) -> Iterator[Sequence[Waiting]]:
    """Batches of about `_CHUNK` subjects. Those whose last event is the same are in the same batch."""
    start = 0
    while start < len(waiting) and (limit is None or start < limit):
        end = min(start + _CHUNK, len(waiting)) if limit is None else min(start + _CHUNK, limit, len(waiting))
        while end < len(waiting) and waiting[end].offset == waiting[end - 1].offset:
            end += 1
        yield waiting[start:end]
        start = end


def _touches(
    policies: Policies,
    parts: Mapping[str, Sequence[Part]],
    rows: Iterator[LogRow],
    up_to: int,
    on_progress: OnProgress,
) -> tuple[dict[Subject, Waiting], dict[str, set[Subject]]]:
    """Each subject's last event at which it could be scored, and the subjects that were scored, by harm."""
    harms_of = {
        type_id: [harm for harm in parts if type_id in policies.harm(harm).subject_types]
        for harm in parts
        for type_id in policies.harm(harm).subject_types
    }
    last: dict[Subject, Waiting] = {}
    created: set[Subject] = set()
    scored: dict[str, set[Subject]] = {harm: set() for harm in parts}
    left = {harm: list(found) for harm, found in parts.items()}
    for row in rows:
        offset = row.offset
        for found in left.values():
            while found and found[0].up_to < offset:
                found.pop(0)
        for subject in touched_by_row(row):
            harms = harms_of.get(subject.type_id)
            if not harms:
                continue
            if row.kind == "item_created":
                created.add(subject)
            if needs_item(subject) and subject not in created:
                continue
            last[subject] = Waiting(subject, offset, row.visible_at)
            for harm in harms:
                if not left[harm] or offset <= left[harm][0].after:
                    scored[harm].add(subject)
        if offset % 10_000 == 0:
            on_progress("events read", offset, up_to)
    return last, scored

"""The instant whose features a label is trained on: when its subject was last scored before it was shown.

Not the instant of the verdict. More reports and plays come in while a lead waits in the queue, often because it waits
there. A model trained on those would expect them at scoring time, when they don't exist yet.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.db.tables import leads, reviews
from leads.events import ItemCreated, Subject
from leads.rules import needs_item, touched_by
from training.data.labels import Label

_CHUNK = 500


def scored_at(engine: Engine, labels: Sequence[Label]) -> list[Micros | None]:
    """When the worker last scored each label's subject before its verdict, in µs.

    For a lead that was claimed this is its last scoring before it was shown, and for a lead that was decided without a
    claim its last scoring. For any other subject it is the last event before the verdict that touched it
    (`leads.rules.touched_by`): the worker scores a subject whenever an event touches it.

    Args:
        labels: of one harm.

    Returns:
        One instant per label; None where the worker could not have scored the subject before the verdict, because no
        event touched it or, for an item, because it had not been created yet.
    """
    with reading(engine) as connection:
        by_review = _scorings(connection, reviews, [label.review_id for label in labels if label.review_id])
        by_lead = _scorings(connection, leads, [label.lead_id for label in labels if label.lead_id])
    known = [
        _before(label.at, by_review.get(label.review_id or ""), by_lead.get(label.lead_id or "")) for label in labels
    ]
    open_ = [label for label, at in zip(labels, known, strict=True) if at is None]
    touched = last_touches(engine, {(label.subject, label.at) for label in open_})
    return [
        touched.get((label.subject, label.at)) if at is None else at for label, at in zip(labels, known, strict=True)
    ]


def last_touches(engine: Engine, before: Collection[tuple[Subject, Micros]]) -> dict[tuple[Subject, Micros], Micros]:
    """When each subject was last touched before the given instant, while it could be scored.

    Reads the event log once, up to the latest of the instants: plays touch accounts, and an account's plays have no
    index.

    Args:
        before: subjects and instants, µs; a touch at this very instant does not count.
    """
    wanted: dict[Subject, list[Micros]] = {}
    for subject, at in before:
        wanted.setdefault(subject, []).append(at)
    if not wanted:
        return {}
    last: dict[tuple[Subject, Micros], Micros] = {}
    created: set[Subject] = set()
    for logged in event_log.read_all(engine, before=max(at for _, at in before)):
        for subject in touched_by(logged.event):
            if isinstance(logged.event.body, ItemCreated):
                created.add(subject)
            if subject not in wanted or (needs_item(subject) and subject not in created):
                continue
            last.update({(subject, at): logged.visible_at for at in wanted[subject] if logged.visible_at < at})
    return last


def _before(verdict_at: Micros, *scored: Micros | None) -> Micros | None:
    """The first known scoring, if it was before the verdict. A later one belongs to the content after an edit."""
    return next((at for at in scored if at is not None and at < verdict_at), None)


def _scorings(connection: Connection, table: sa.Table, ids: Sequence[str]) -> dict[str, Micros]:
    """When the leads, or the leads of the reviews, with these ids were scored."""
    found: dict[str, Micros] = {}
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(table.c.id, table.c.scored_at).where(table.c.id.in_(ids[start : start + _CHUNK]))
        found.update((row.id, int(row.scored_at)) for row in connection.execute(query))
    return found

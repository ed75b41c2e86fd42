"""The instant whose features a label is trained on: when its subject was last scored before the verdict.

Not the instant of the verdict. More reports and plays come in while a lead waits in the queue, often because it waits
there. A model trained on those would expect them at scoring time, when they don't exist yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.db.tables import leads
from leads.events import ItemCreated, Subject
from leads.rules import needs_item, touched_by
from training.data.labels import Label

_CHUNK = 500


def scored_at(engine: Engine, labels: Sequence[Label]) -> list[Micros | None]:
    """When the worker last scored each label's subject before its verdict, in µs.

    For a decided lead this is the lead's last scoring. For any other subject it is the last event before the verdict
    that touched it (`leads.rules.touched_by`): the worker scores a subject whenever an event touches it.

    Args:
        labels: of one harm, so one for each subject.

    Returns:
        One instant per label; None where the worker could not have scored the subject before the verdict, because no
        event touched it or, for an item, because it had not been created yet.
    """
    with reading(engine) as connection:
        by_lead = _lead_scorings(connection, [label.lead_id for label in labels if label.lead_id])
    touched = last_touches(engine, {label.subject: label.at for label in labels})
    instants: list[Micros | None] = []
    for label in labels:
        scored = by_lead.get(label.lead_id or "")
        instants.append(scored if scored is not None and scored < label.at else touched.get(label.subject))
    return instants


def last_touches(engine: Engine, before: Mapping[Subject, Micros]) -> dict[Subject, Micros]:
    """When each subject was last touched before the given instant, while it could be scored.

    Reads the event log once, up to the latest of the instants: plays touch accounts, and an account's plays have no
    index.

    Args:
        before: by subject, µs; a touch at this very instant does not count.
    """
    if not before:
        return {}
    last: dict[Subject, Micros] = {}
    created: set[Subject] = set()
    for logged in event_log.read_all(engine, before=max(before.values())):
        for subject in touched_by(logged.event):
            if logged.visible_at >= before.get(subject, 0):
                continue
            if isinstance(logged.event.body, ItemCreated):
                created.add(subject)
            if subject in created or not needs_item(subject):
                last[subject] = logged.visible_at
    return last


def _lead_scorings(connection: Connection, ids: Sequence[str]) -> dict[str, Micros]:
    found: dict[str, Micros] = {}
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(leads.c.id, leads.c.scored_at).where(leads.c.id.in_(ids[start : start + _CHUNK]))
        found.update((row.id, int(row.scored_at)) for row in connection.execute(query))
    return found

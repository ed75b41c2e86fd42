"""When the subjects of labels were scored: the instant whose features a model learns from.

Not when they were judged. Between the two come more reports and plays, often because the subject stood in the queue;
a model that learned from those would expect them when it scores, and they are never there yet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.db.engine import reading
from leads.db.tables import events, leads
from leads.events import Subject
from training.data.labels import Label

Instants = npt.NDArray[np.int64]
_AT_ONCE = 500
_TOUCHING = ("item_created", "signal_received")


def scored_at(engine: Engine, labels: Sequence[Label]) -> Instants:
    """(n,) µs at which each label's subject was last scored before its verdict.

    Where a lead was decided: the lead's last scoring. Else the last event that would have had the subject scored; for a
    subject that has none but plays, the last instant before the verdict.
    """
    with reading(engine) as connection:
        by_lead = _lead_scorings(connection, [label.lead_id for label in labels if label.lead_id])
        touched = _last_touches(connection, {label.subject: label.at for label in labels})
    instants = []
    for label in labels:
        scored = by_lead.get(label.lead_id or "")
        if scored is None or scored >= label.at:
            scored = touched.get(label.subject, label.at - 1)
        instants.append(scored)
    return np.array(instants, dtype=np.int64)


def _lead_scorings(connection: Connection, ids: Sequence[str]) -> dict[str, Micros]:
    found: dict[str, Micros] = {}
    for start in range(0, len(ids), _AT_ONCE):
        query = sa.select(leads.c.id, leads.c.scored_at).where(leads.c.id.in_(ids[start : start + _AT_ONCE]))
        found.update((row.id, int(row.scored_at)) for row in connection.execute(query))
    return found


def _last_touches(connection: Connection, before: dict[Subject, Micros]) -> dict[Subject, Micros]:
    """The visible time of each subject's last item or signal before the given instant."""
    query = (
        sa.select(events.c.type_id, events.c.subject_id, events.c.visible_at)
        .where(events.c.kind.in_(_TOUCHING), events.c.kind != "played")
        .order_by(events.c.offset)
    )
    last: dict[Subject, Micros] = {}
    for type_id, subject_id, visible_at in connection.execute(query).yield_per(10_000):
        subject = Subject(type_id, subject_id)
        if visible_at < before.get(subject, 0):
            last[subject] = int(visible_at)
    return last

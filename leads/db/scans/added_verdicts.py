"""Verdicts that were added from files with `leads labels add`; they are decisions in the event log."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.db.tables import NOT_A_PLAY, events
from leads.events import DecisionMade, decode_event

# Ids are unique within a sender, so that a file that is added twice counts once.
SENDER = "labels"
_AT_ONCE = 5_000


class AddedVerdicts(NamedTuple):
    """Verdicts of a reviewer under a harm, with the times of the first and the last, in µs since epoch."""

    harm: str
    reviewer: str
    verdicts: int
    violating: int
    first: Micros
    last: Micros


def added_verdicts(connection: Connection) -> list[AddedVerdicts]:
    """The verdicts by harm and reviewer, in the order of their names."""
    found: dict[tuple[str, str], AddedVerdicts] = {}
    query = sa.select(events.c.raw).where(NOT_A_PLAY, events.c.kind == "decision_made", events.c.sender == SENDER)
    for (raw,) in connection.execute(query.execution_options(yield_per=_AT_ONCE)):
        event = decode_event(raw)
        body, at = event.body, event.occurred_at
        assert isinstance(body, DecisionMade)
        key = body.harm, body.reviewer
        before = found.get(key, AddedVerdicts(*key, 0, 0, at, at))
        found[key] = AddedVerdicts(
            *key,
            before.verdicts + 1,
            before.violating + (body.verdict == "violating"),
            min(before.first, at),
            max(before.last, at),
        )
    return [found[key] for key in sorted(found)]

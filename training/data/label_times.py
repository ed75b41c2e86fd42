"""The instant whose features a label is trained on: when its subject was last scored before it was shown.

Not the instant of the verdict. More reports and plays come in while a lead waits in the queue, often because it waits
there. A model trained on those would expect them at scoring time, when they don't exist yet.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.db.engine import reading
from leads.db.scans.rows import LogRow, touched_by_row
from leads.db.tables import leads, reviews
from leads.events import ACCOUNT, Subject
from leads.rules import needs_item
from training.data.labels import Label

Instants = npt.NDArray[np.int64]

_CHUNK = 500
# Later than any event.
_NEVER: Micros = np.iinfo(np.int64).max


def scored_as_leads(engine: Engine, labels: Sequence[Label]) -> Instants:
    """(n,) when the worker last scored each label's subject before it was shown, in µs; 0 where the log has to say.

    For a lead that was claimed this is its last scoring before it was shown, and for a lead that was decided without a
    claim its last scoring. For any other subject it is the last event before the verdict that touched it
    (`LastTouches`): the worker scores a subject whenever an event touches it.
    """
    with reading(engine) as connection:
        by_review = _scorings(connection, reviews, [label.review_id for label in labels if label.review_id])
        by_lead = _scorings(connection, leads, [label.lead_id for label in labels if label.lead_id])
    known = (
        _before(label.at, by_review.get(label.review_id or ""), by_lead.get(label.lead_id or "")) for label in labels
    )
    return np.fromiter(known, np.int64, len(labels))


class LastTouches:
    """When each label's subject was last touched before its verdict, while it could be scored.

    Keeps one time for each subject and each label, however long the event log is. An item can only be scored once it
    was created.

    Args:
        labels: whose subjects to look for.
    """

    def __init__(self, labels: Sequence[Label]) -> None:
        self._of: dict[Subject, int] = {}
        subjects = [self._of.setdefault(label.subject, len(self._of)) for label in labels]
        verdicts = np.array([label.at for label in labels], np.int64)
        self._order = np.argsort(verdicts, kind="stable").tolist()
        self._subjects, self._verdicts = array("q", subjects), array("q", verdicts.tolist())
        self._last = array("q", bytes(8 * len(self._of)))
        self._can_be_scored = bytearray(not needs_item(subject) for subject in self._of)
        self._settled = 0
        self._until = self._verdict(0)
        # (n,) the instants found so far; 0 where there is none.
        self.found: Instants = np.zeros(len(labels), np.int64)

    @property
    def types(self) -> set[str]:
        """The types of the subjects."""
        return {subject.type_id for subject in self._of}

    @property
    def are_all_found(self) -> bool:
        """Whether later events change nothing."""
        return self._settled == len(self._order)

    def plays_of(self) -> set[str] | None:
        """The types of items whose plays can touch one of the subjects; None for all, because plays touch accounts."""
        return None if ACCOUNT in self.types else self.types

    def add(self, row: LogRow) -> None:
        """Take the next event of the log that touches something."""
        if row.visible_at >= self._until:
            self._settle(row.visible_at)
        for subject in touched_by_row(row):
            i = self._of.get(subject)
            if i is None:
                continue
            if row.kind == "item_created":
                self._can_be_scored[i] = True
            if self._can_be_scored[i]:
                self._last[i] = row.visible_at

    def end(self) -> None:
        """The log has no more events before the verdicts that are left."""
        self._settle(_NEVER)

    def _settle(self, now: Micros) -> None:
        """Keep the last touch of those labels whose verdict isn't later than the event at `now`."""
        while self._settled < len(self._order) and self._until <= now:
            label = self._order[self._settled]
            self.found[label] = self._last[self._subjects[label]]
            self._settled += 1
            self._until = self._verdict(self._settled)

    def _verdict(self, n: int) -> Micros:
        return self._verdicts[self._order[n]] if n < len(self._order) else _NEVER


def _before(verdict_at: Micros, *scored: Micros | None) -> Micros:
    """The first known scoring, if it was before the verdict. A later one belongs to the content after an edit."""
    return next((at for at in scored if at is not None and at < verdict_at), 0)


def _scorings(connection: Connection, table: sa.Table, ids: Sequence[str]) -> dict[str, Micros]:
    """When the leads, or the leads of the reviews, with these ids were scored."""
    found: dict[str, Micros] = {}
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(table.c.id, table.c.scored_at).where(table.c.id.in_(ids[start : start + _CHUNK]))
        found.update((row.id, int(row.scored_at)) for row in connection.execute(query))
    return found

"""How well a queue found what is true: the leads it holds beside a simulation's truth about every subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.db import event_log
from leads.db.engine import reading
from leads.db.scans.rows import TOUCHING, scan, touched_by_row
from leads.db.tables import leads
from leads.errors import NotFound
from leads.events import Subject, decision_of
from simulation.history import TRUTH

# Whether a subject violates, by harm; pairs whose truth nobody knows are absent.
Truth = Mapping[str, Mapping[Subject, bool]]


class Found(NamedTuple):
    """What the queue found under one harm.

    Args:
        leads: open or reviewed leads whose truth is known; `violating` of them really violate.
        to_find: violating subjects that an event touched since the models were trained, and that nobody had judged
            before; `found` of them are leads.
    """

    harm: str
    leads: int
    violating: int
    to_find: int
    found: int

    @property
    def precision(self) -> float | None:
        """Share of the leads that violate; None without leads."""
        return self.violating / self.leads if self.leads else None

    @property
    def recall(self) -> float | None:
        """Share of the violating subjects to find that are leads; None when there were none to find."""
        return self.found / self.to_find if self.to_find else None


def read_truth(folder: Path) -> Truth:
    """The truth of the simulation in `folder`.

    Raises:
        NotFound: there is no simulation.
    """
    path = folder / TRUTH
    if not path.is_file():
        raise NotFound(f"There is no simulation in {folder}.", remedy="Run: leads simulate")
    truth: dict[str, dict[Subject, bool]] = {}
    columns = pq.read_table(path, columns=["type_id", "subject_id", "harm", "violating"]).to_pydict()
    for type_id, subject_id, harm, violating in zip(*columns.values(), strict=True):
        if violating is not None:
            truth.setdefault(harm, {})[Subject(type_id, subject_id)] = violating
    return truth


def found_by(engine: Engine, truth: Truth, harms: Iterable[str], *, after: int) -> list[Found]:
    """Precision and recall of the queue as it is now.

    Args:
        after: offset of the newest event that the models were trained on.
    """
    held = _held(engine)
    new = _touched(engine, after)
    judged = _judged(engine)
    results = []
    for harm in harms:
        known = truth.get(harm, {})
        offered = held.get(harm, set()) & known.keys()
        to_find = {
            subject
            for subject, offset in new.items()
            if known.get(subject) and judged.get((harm, subject), offset) >= offset
        }
        violating = sum(known[subject] for subject in offered)
        results.append(Found(harm, len(offered), violating, len(to_find), len(to_find & offered)))
    return results


def _held(engine: Engine) -> dict[str, set[Subject]]:
    """The subjects of all leads, by harm, withdrawn ones left out."""
    query = sa.select(leads.c.harm, leads.c.type_id, leads.c.subject_id).where(leads.c.state != "withdrawn")
    held: dict[str, set[Subject]] = {}
    with reading(engine) as connection:
        for harm, type_id, subject_id in connection.execute(query):
            held.setdefault(harm, set()).add(Subject(type_id, subject_id))
    return held


def _touched(engine: Engine, after: int) -> dict[Subject, int]:
    """The first offset behind `after` at which an event touched each subject."""
    first: dict[Subject, int] = {}
    with reading(engine) as connection:
        up_to = event_log.head(connection).offset
    for row in scan(engine, TOUCHING, after=after, up_to=up_to):
        for subject in touched_by_row(row):
            first.setdefault(subject, row.offset)
    return first


def _judged(engine: Engine) -> dict[tuple[str, Subject], int]:
    """The offset of the first decision on each (harm, subject)."""
    first: dict[tuple[str, Subject], int] = {}
    for logged in event_log.read_kind(engine, "decision_made"):
        body = decision_of(logged)
        first.setdefault((body.harm, body.subject.subject), logged.offset)
    return first

"""Changes of leads' states, and how many leads there are by harm and state.

Every change of a state goes through `counting`, so the counts change in the transaction of the state.

On PostgreSQL, the counts are spread over slots: each transaction changes the rows of one slot that it chooses at
random, so that transactions rarely wait for each other. It does so once, at its end, and in the order of harm and
state, so no two can wait for each other in a circle.

An older release doesn't keep the counts. `reconcile` finds what is missing and adds it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from leads.db.engine import lock_name, reading
from leads.db.tables import lead_counts, leads

SLOTS = 32
_CHUNK = 500
Counts = Counter[tuple[str, str]]


@contextmanager
def counting(connection: Connection) -> Iterator[Counts]:
    """Collect changes of states in the caller's transaction; write the counts when the block ends.

    Lock every lead that the transaction changes inside the block.
    """
    changes: Counts = Counter()
    yield changes
    _add(connection, changes)


def move(connection: Connection, changes: Counts, ids: Sequence[str], state: str, **values: Any) -> None:
    """Change the state of these leads, and other columns. The leads must be locked."""
    for start in range(0, len(ids), _CHUNK):
        these = leads.c.id.in_(ids[start : start + _CHUNK])
        before = sa.select(leads.c.harm, leads.c.state, sa.func.count()).where(these)
        for harm, was, n in connection.execute(before.group_by(leads.c.harm, leads.c.state)):
            moved(changes, harm, was, state, n)
        connection.execute(sa.update(leads).where(these).values(state=state, **values))


def moved(changes: Counts, harm: str, before: str | None, after: str, n: int = 1) -> None:
    """Count a change that the caller writes itself. `before`: None for new leads."""
    if before == after:
        return
    if before is not None:
        changes[harm, before] -= n
    changes[harm, after] += n


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """How many leads there are by harm and state. Leads whose lease has just run out still count as claimed."""
    by = (lead_counts.c.harm, lead_counts.c.state)
    query = sa.select(*by, sa.func.sum(lead_counts.c.n)).group_by(*by)
    return {(harm, state): int(n) for harm, state, n in connection.execute(query) if n}


def reconcile(engine: Engine) -> int:
    """Correct the counts where they differ from the leads; returns how many counts were wrong.

    Counts once without a lock, which is enough when nothing differs. Counts and leads are read in one statement, so
    both are of the same instant, and the difference may be added however much has changed since.
    """
    with reading(engine) as connection:
        if not _missing(connection):
            return 0
    with engine.begin() as connection:
        lock_name(connection, "reconcile lead counts")
        missing = _missing(connection)
        _add(connection, missing)
    return len(missing)


def _missing(connection: Connection) -> Counts:
    """What has to be added to the counts."""
    real = sa.select(leads.c.harm, leads.c.state, sa.func.count().label("n")).group_by(leads.c.harm, leads.c.state)
    kept = sa.select(lead_counts.c.harm, lead_counts.c.state, -sa.func.sum(lead_counts.c.n))
    both = sa.union_all(real, kept.group_by(lead_counts.c.harm, lead_counts.c.state)).subquery()
    missing: Counts = Counter()
    for harm, state, n in connection.execute(sa.select(both)):
        missing[harm, state] += int(n)
    return Counter({key: n for key, n in missing.items() if n})


def _add(connection: Connection, changes: Mapping[tuple[str, str], int]) -> None:
    many = connection.dialect.name == "postgresql"
    # On SQLite, the transaction is the only one that writes.
    slot = random.randrange(SLOTS) if many else 0
    rows = [{"slot": slot, "harm": harm, "state": state, "n": n} for (harm, state), n in sorted(changes.items()) if n]
    if not rows:
        return
    insert = (postgresql.insert if many else sqlite.insert)(lead_counts).values(rows)
    added = {"n": lead_counts.c.n + insert.excluded.n}
    connection.execute(insert.on_conflict_do_update(index_elements=["slot", "harm", "state"], set_=added))

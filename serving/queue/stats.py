"""How full the queue is and how fast it moves, at a cost that doesn't grow with the number of leads.

Depths come from the counts that are kept with the leads. What was done comes from an index of the reviews that ended in
the last 24 hours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.tables import leads, reviews
from leads_client.fields import LeadState
from serving.queue.leads_table import STATES
from serving.queue.states import counts

_HELD = sa.text("reviews.state = 'claimed'")


class Ended(NamedTuple):
    """How many reviews ended in a span of time, by how they ended."""

    decided: int = 0
    escalated: int = 0
    released: int = 0
    expired: int = 0


class HarmStats(NamedTuple):
    """A harm's leads by state, when its oldest open lead was opened, and what was done lately."""

    leads: Mapping[LeadState, int]
    oldest: Micros | None
    last_hour: Ended
    last_day: Ended


class ReviewerStats(NamedTuple):
    """How many leads a reviewer holds, and what they did lately."""

    held: int
    last_hour: Ended
    last_day: Ended


class QueueStats(NamedTuple):
    """The state of the queue at one instant, by harm and by reviewer."""

    harms: Mapping[str, HarmStats]
    reviewers: Mapping[str, ReviewerStats]


class Depth(NamedTuple):
    """A harm's leads by state, and when its oldest open lead was opened."""

    leads: Mapping[LeadState, int]
    oldest: Micros | None


_Ended = Counter[tuple[str, str, str]]


def depths(connection: Connection, harms: Collection[str]) -> dict[str, Depth]:
    """How many leads of each harm there are, and since when the oldest open one waits."""
    found, names = counts(connection), sorted(harms)
    oldest = _oldest(connection, names)
    return {harm: Depth({state: found.get((harm, state), 0) for state in STATES}, oldest.get(harm)) for harm in names}


def stats(connection: Connection, harms: Collection[str], now: Micros) -> QueueStats:
    """Depths and throughput of these harms. Reviewers who neither hold nor did anything under them are left out."""
    hour, day = _ended(connection, harms, now)
    held = _held(connection, harms, now)
    in_hour, in_day = _by(hour, 0), _by(day, 0)
    by_harm = {
        harm: HarmStats(*depth, in_hour[harm], in_day[harm]) for harm, depth in depths(connection, harms).items()
    }
    in_hour, in_day = _by(hour, 1), _by(day, 1)
    return QueueStats(
        by_harm, {who: ReviewerStats(held[who], in_hour[who], in_day[who]) for who in sorted({*held, *in_day})}
    )


def _oldest(connection: Connection, harms: Sequence[str]) -> dict[str, Micros]:
    """When the oldest open lead of each harm was opened: one look into an index for each."""
    if not harms:
        return {}
    found = connection.execute(_oldest_statement(len(harms)), {f"harm{i}": harm for i, harm in enumerate(harms)})
    return {harm: oldest for harm, oldest in found if oldest is not None}


@lru_cache(maxsize=256)
def _oldest_statement(harms: int) -> sa.TextClause:
    each = (
        f"SELECT CAST(:harm{i} AS TEXT), (SELECT min(created_at) FROM leads WHERE harm = :harm{i} AND state = 'open')"
        for i in range(harms)
    )
    return sa.text(" UNION ALL ".join(each))


# The harm of a review, also of one that an older release wrote.
_HARM = sa.func.coalesce(
    reviews.c.harm, sa.select(leads.c.harm).where(leads.c.id == reviews.c.lead_id).scalar_subquery()
).label("harm")


def _ended(connection: Connection, harms: Collection[str], now: Micros) -> tuple[_Ended, _Ended]:
    """The reviews that ended in the last hour, and in the last day, by harm, reviewer and how they ended."""
    lately = sa.case((reviews.c.ended_at > now - clock.HOUR, 1), else_=0).label("lately")
    ended = (
        sa.select(_HARM, reviews.c.reviewer, reviews.c.state, lately)
        .where(reviews.c.ended_at > now - clock.DAY)
        .subquery()
    )
    by = (ended.c.harm, ended.c.reviewer, ended.c.state)
    query = sa.select(*by, sa.func.sum(ended.c.lately), sa.func.count()).where(ended.c.harm.in_(sorted(harms)))
    hour: _Ended = Counter()
    day: _Ended = Counter()
    for harm, reviewer, state, in_hour, in_day in connection.execute(query.group_by(*by)):
        hour[harm, reviewer, state] += int(in_hour)
        day[harm, reviewer, state] += in_day
    return hour, day


def _held(connection: Connection, harms: Collection[str], now: Micros) -> Counter[str]:
    held = sa.select(_HARM, reviews.c.reviewer).where(_HELD, reviews.c.lease_until > now).subquery()
    query = sa.select(held.c.reviewer, sa.func.count()).where(held.c.harm.in_(sorted(harms)))
    return Counter({reviewer: n for reviewer, n in connection.execute(query.group_by(held.c.reviewer))})


def _by(ended: _Ended, place: int) -> defaultdict[str, Ended]:
    """The sums by harm (`place` 0) or by reviewer (1)."""
    totals: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for key, n in ended.items():
        totals[key[place]][key[2]] += n
    sums = {name: Ended(*(total[state] for state in Ended._fields)) for name, total in totals.items()}
    return defaultdict(Ended, sums)

"""Many reviewers who claim at once: none may get a lead that another holds, and all get their share."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from benchmarks.report import Measure, at_least, at_most
from benchmarks.scale.stores import HARMS, NOW
from leads.db.tables import leads, reviews
from leads.policies import QueuePolicy
from serving.queue.leads_table import Actor
from serving.queue.queue import claim
from serving.queue.states import counts

_N = 10
# Long enough for nothing to expire, and large enough for nobody to be stopped by it.
_QUEUE = QueuePolicy(lease_minutes=1_440, max_claimed=10_000)


class Claimant(threading.Thread):
    """Claims leads until it is told to stop."""

    def __init__(self, engine: Engine, name: str, stop: threading.Event) -> None:
        super().__init__(name=name)
        self.got: list[str] = []
        self.times: list[float] = []
        self.failures: list[str] = []
        self._engine = engine
        self._stopped = stop

    def run(self) -> None:
        while not self._stopped.is_set():
            began = time.perf_counter()
            try:
                with self._engine.begin() as connection:
                    found = claim(connection, n=_N, actor=Actor(self.name), queue=_QUEUE, now=NOW, harms=HARMS)
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                continue
            self.times.append(time.perf_counter() - began)
            self.got += [claimed.lead.id for claimed in found]


class Found(NamedTuple):
    """What the database says in the end."""

    claimed: Counter[str]
    reviews: int
    counted: int


def claimants(engine: Engine, n: int, seconds: float) -> list[Measure]:
    """Let `n` reviewers claim for some time, and check what they hold."""
    stop = threading.Event()
    # With a pool of their own: the platform's has fewer connections than there are claimants.
    wide = sa.create_engine(engine.url, pool_size=n)
    working = [Claimant(wide, f"rev-{i}", stop) for i in range(n)]
    for one in working:
        one.start()
    time.sleep(seconds)
    stop.set()
    for one in working:
        one.join()
    wide.dispose()
    return _judged(working, _found(engine), seconds)


def _found(engine: Engine) -> Found:
    with engine.connect() as connection:
        by = (
            sa.select(leads.c.claimed_by, sa.func.count())
            .where(leads.c.state == "claimed")
            .group_by(leads.c.claimed_by)
        )
        claimed = Counter({name: n for name, n in connection.execute(by)})
        started = sa.select(sa.func.count()).where(reviews.c.state == "claimed", reviews.c.reviewer.like("rev-%"))
        counted = sum(n for (_, state), n in counts(connection).items() if state == "claimed")
        return Found(claimed, connection.execute(started).scalar_one(), counted)


def _judged(working: Sequence[Claimant], found: Found, seconds: float) -> list[Measure]:
    got = Counter(id_ for one in working for id_ in one.got)
    mine = [len(one.got) for one in working]
    held = sum(found.claimed[one.name] for one in working)
    lost = abs(held - sum(mine)) + abs(found.reviews - held) + abs(found.counted - sum(found.claimed.values()))
    times = [seconds for one in working for seconds in one.times]
    what = f"PostgreSQL, {len(working)} claimants"
    return [
        at_most(f"{what}: leads held twice", sum(n > 1 for n in got.values()), "leads", 0),
        at_most(f"{what}: leads lost or miscounted", lost, "leads", 0),
        at_most(f"{what}: claims that failed", sum(len(one.failures) for one in working), "claims", 0),
        at_least(f"{what}: least share of the mean", min(mine) / max(1e-9, statistics.fmean(mine)), "", 0.5),
        Measure(f"{what}: claims of {_N}", len(times) / seconds, "per s"),
        Measure(f"{what}: claim p50", 1_000 * statistics.median(times), "ms"),
    ]

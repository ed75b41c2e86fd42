"""The counts by harm and state equal a real count after any history, also one with killed transactions."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.tables import lead_counts, leads
from leads.errors import Conflict, NotFound
from serving.queue import states
from tests.support.serving.queue_world import QueueWorld, lead_of

pytestmark = pytest.mark.slow

IDS = [f"c{i}" for i in range(12)]
REVIEWERS = ("ann", "bob")
HARMS = ("spam", "sexism")


class _Killed(Exception):
    """A process dies before its commit."""


def real(engine: Engine) -> dict[tuple[str, str], int]:
    by = (leads.c.harm, leads.c.state)
    with engine.connect() as connection:
        return {(h, s): n for h, s, n in connection.execute(sa.select(*by, sa.func.count()).group_by(*by))}


def kept(engine: Engine) -> dict[tuple[str, str], int]:
    with engine.connect() as connection:
        return states.counts(connection)


def a_step(world: QueueWorld, draw: random.Random) -> None:
    """One random step; some conflict with what came before, which changes nothing."""
    id_, harm, reviewer = draw.choice(IDS), draw.choice(HARMS), draw.choice(REVIEWERS)
    lead, score = lead_of(id_, harm), draw.uniform(0.3, 1.0)
    steps: list[Any] = [
        lambda: world.offer(id_, score, harm=harm),
        lambda: world.offer(id_, score, harm=harm),
        lambda: world.offer(id_, 0.1, harm=harm, tier="none"),
        lambda: world.claim(draw.randrange(1, 4), reviewer),
        lambda: world.claim(1, reviewer, {harm}),
        lambda: world.release(lead, reviewer),
        lambda: world.decide(lead, draw.choice(("violating", "not_violating", "escalate")), reviewer),
        lambda: world.write(id_, f"text {draw.random()}"),
        lambda: world.wait(draw.choice((clock.MINUTE, 16 * clock.MINUTE))),
        world.expire,
        lambda: world.settle(id_),
    ]
    with suppress(Conflict, NotFound):
        draw.choice(steps)()
    world.wait()


@pytest.mark.parametrize("seed", range(2))
def test_counts_equal_a_real_count_after_random_histories(
    any_engine: Engine, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, draw, add = QueueWorld(any_engine), random.Random(seed), states._add

    def killed(*args: Any) -> None:
        add(*args)
        raise _Killed

    for _ in range(70):
        if draw.random() < 0.1:
            with monkeypatch.context() as patched, suppress(_Killed):
                patched.setattr(states, "_add", killed)
                a_step(world, draw)
        else:
            a_step(world, draw)
    assert kept(any_engine) == real(any_engine)
    assert states.reconcile(any_engine) == 0


def test_reconciling_corrects_what_an_older_release_did_not_count(any_engine: Engine) -> None:
    world = QueueWorld(any_engine)
    for id_ in IDS:
        world.offer(id_)
    with any_engine.begin() as connection:
        connection.execute(
            sa.update(leads).where(leads.c.id.in_([lead_of("c1"), lead_of("c2")])).values(state="decided")
        )
        connection.execute(sa.delete(leads).where(leads.c.id == lead_of("c3")))
    assert states.reconcile(any_engine) == 2
    assert kept(any_engine) == real(any_engine) == {("spam", "open"): 9, ("spam", "decided"): 2}
    assert states.reconcile(any_engine) == 0


def test_counts_stay_right_while_many_claim_and_release(any_engine: Engine) -> None:
    world = QueueWorld(any_engine)
    for id_ in IDS:
        world.offer(id_, harm="spam")
        world.offer(id_, harm="sexism")
    failures: list[BaseException] = []

    def work(reviewer: str) -> None:
        try:
            for _ in range(4):
                for lead in world.claim(3, reviewer):
                    world.release(lead.id, reviewer)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=[f"r{i}"]) for i in range(6)]
    reconcilers = [threading.Thread(target=states.reconcile, args=[any_engine]) for _ in range(2)]
    for thread in (*threads, *reconcilers):
        thread.start()
    for thread in (*threads, *reconcilers):
        thread.join()
    assert failures == []
    assert kept(any_engine) == real(any_engine)


def test_transactions_spread_over_slots_on_postgresql_alone(any_engine: Engine) -> None:
    world = QueueWorld(any_engine)
    for i in range(40):
        world.offer(f"d{i}")
    with any_engine.connect() as connection:
        slots = set(connection.execute(sa.select(lead_counts.c.slot)).scalars())
    assert (len(slots) > 5) is (any_engine.dialect.name == "postgresql")

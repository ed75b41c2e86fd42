"""Pages and claims follow the order of ranks, whatever happens between them, and read an index."""

from __future__ import annotations

import base64
import threading
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.errors import InvalidInput
from leads.policies import QueuePolicy
from serving.queue import order, queue
from tests.support.serving.queue_world import START, QueueWorld, lead_of

pytestmark = pytest.mark.slow


@pytest.fixture
def world(any_engine: Engine) -> QueueWorld:
    return QueueWorld(any_engine, QueuePolicy(lease_minutes=15, aging_hours=24, max_claimed=1_000))


def walk(world: QueueWorld, limit: int, between: Any = None, **filters: object) -> list[str]:
    """All leads that following the cursor shows."""
    found, cursor = [], None
    while True:
        page = world.page(limit=limit, cursor=cursor, **filters)
        found += [lead.id for lead in page.leads]
        cursor = page.next_cursor
        if cursor is None:
            return found
        if between:
            between(set(found))


def test_lists_are_in_order_of_priority_for_every_filter(world: QueueWorld) -> None:
    world.fill(60, 0)
    for lead in world.claim(20)[:10]:
        world.decide(lead.id)
    filters: list[dict[str, Any]] = [{}, {"harms": {"spam"}}, {"harms": {"spam", "sexism"}}, {"type_id": "comment"},
                                     {"harms": {"sexism"}, "type_id": "comment"}]  # fmt: skip
    for state in ("open", "claimed", "decided", None):
        for filter_ in filters:
            whole = world.page(limit=200, state=state, **filter_).leads
            assert whole
            assert [lead.priority for lead in whole] == sorted((lead.priority for lead in whole), reverse=True)
            assert walk(world, 7, state=state, **filter_) == [lead.id for lead in whole]
    assert world.page(type_id="account", state=None).leads == []
    assert world.page(harms=(), state=None).leads == []


def test_many_harms_and_states_take_several_statements(world: QueueWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(40, 0)
    whole = [lead.id for lead in world.page(limit=100, state=None).leads]
    monkeypatch.setattr(order, "_PER_STATEMENT", 3)
    assert walk(world, 9, state=None) == whole


@pytest.mark.parametrize("seed", range(2))
def test_rescoring_between_pages_repeats_and_skips_only_rescored_leads(world: QueueWorld, seed: int) -> None:
    draw = world.fill(24, seed)
    before = [lead.id for lead in world.page(limit=100).leads]
    harms = {lead.id: (lead.subject.id, lead.harm) for lead in world.page(limit=100).leads}
    rescored: list[str] = []

    def rescore(_: set[str]) -> None:
        for id_ in draw.sample(before, 3):
            world.wait()
            subject, harm = harms[id_]
            world.offer(subject, draw.uniform(0.3, 1.0), harm=harm, exposure=draw.uniform(1, 5))
            rescored.append(id_)

    found = walk(world, 4, rescore)
    unchanged = [id_ for id_ in before if id_ not in rescored]
    assert [id_ for id_ in found if id_ not in rescored] == unchanged
    for id_ in set(rescored):
        assert found.count(id_) <= 1 + rescored.count(id_)


def test_an_expired_lease_counts_as_open_on_the_right_page(world: QueueWorld) -> None:
    world.fill(30, 0)
    whole = [lead.id for lead in world.page(limit=100).leads]
    world.claim(10)
    assert walk(world, 7) == whole[10:]
    world.wait(15 * clock.MINUTE)
    assert walk(world, 7) == whole
    assert world.page(state="claimed").leads == []
    assert world.expire() == 10
    assert walk(world, 7) == whole


def test_a_cursor_of_an_older_release_gets_a_clear_error(world: QueueWorld) -> None:
    old = base64.urlsafe_b64encode(msgspec.json.encode([START, 4.73, lead_of("c1")])).decode().rstrip("=")
    with pytest.raises(InvalidInput, match="earlier release") as error:
        world.page(cursor=old)
    assert error.value.remedy == "Start again without a cursor."


def test_a_claim_takes_the_top_of_the_list(world: QueueWorld) -> None:
    world.fill(40, 0)
    while expected := [lead.id for lead in world.page(limit=6).leads]:
        assert [lead.id for lead in world.claim(6)] == expected


@pytest.mark.parametrize("n", [2, 7])
def test_claimants_at_once_get_every_lead_once(world: QueueWorld, n: int) -> None:
    world.fill(40, 0)
    taken: dict[str, list[str]] = {f"r{i}": [] for i in range(4)}
    start = threading.Barrier(len(taken))

    def work(reviewer: str) -> None:
        start.wait()
        while mine := world.claim(n, reviewer):
            taken[reviewer] += [lead.id for lead in mine]

    threads = [threading.Thread(target=work, args=[reviewer]) for reviewer in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [id_ for mine in taken.values() for id_ in mine]
    assert sorted(ids) == sorted(world.states())


@pytest.mark.slow
def test_a_claim_looks_past_leads_that_others_have_locked(world: QueueWorld) -> None:
    if world.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time.")
    world.fill(60, 0)
    ids = [lead.id for lead in world.page(limit=100).leads]
    with world.engine.connect() as other, other.begin():
        locked = queue._lock_top(other, 55, None, START, frozenset())
        assert [row.id for row in locked] == ids[:55]
        assert [lead.id for lead in world.claim(3)] == ids[55:58]
        assert [lead.id for lead in world.claim(9)] == ids[58:]


def test_order_and_stale_ranks_are_read_from_indexes(world: QueueWorld) -> None:
    """With the statistics that a large table has; small tables are cheaper to read whole."""
    world.fill(30, 0)
    with world.engine.begin() as connection:
        explain = "EXPLAIN QUERY PLAN "
        if connection.dialect.name == "postgresql":
            explain = "EXPLAIN "
            connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        values = {"harm0": "spam", "state0": "open", "harm1": "sexism", "state1": "open", "rank": 1e300, "id": "~",
                  "limit": 5}  # fmt: skip
        for typed, index in ((False, "ix_leads_rank"), (True, "ix_leads_type_rank")):
            statement = sa.text(explain + order._statement(2, typed, False).text)
            parameters = values | ({"type_id": "comment"} if typed else {})
            plan = "\n".join(str(row) for row in connection.execute(statement, parameters))
            assert plan.count(index) == 2, plan

"""Old rows are deleted; what the queue, retraining and canaries read stays."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import canary_retreats
from leads.db.access import uses
from leads.db.access.uses import AdminUse, admin_uses
from leads.db.canary_retreats import Retreat
from leads.db.engine import reading
from leads.db.tables import audit, drift_verdicts, idempotency
from leads.retention import database
from leads.retention.usage import database_usage
from tests.support.serving.queue_world import QueueWorld, lead_of

DAY = clock.DAY


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BATCH", 3)


def count(engine: Engine, table: sa.Table) -> int:
    with reading(engine) as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def trail(engine: Engine, id_: str) -> list[str]:
    query = sa.select(audit.c.action).where(audit.c.lead_id == lead_of(id_)).order_by(audit.c.seq)
    with reading(engine) as connection:
        return list(connection.execute(query).scalars())


def test_audit_entries_of_leads_under_review_stay(any_engine: Engine) -> None:
    world = QueueWorld(any_engine)
    for id_ in ("open", "claimed", "done", "late"):
        world.write(id_, "a text")
        world.offer(id_, {"claimed": 0.9, "done": 0.99}.get(id_, 0.5))
    world.claim(2)
    world.decide(lead_of("done"))
    before = world.now + 1
    world.wait(DAY)
    world.decide(lead_of("late"))
    assert database.prune_audit(any_engine, before, True).items == 4
    assert database.prune_audit(any_engine, before, False).items == 4
    assert trail(any_engine, "done") == []
    assert trail(any_engine, "late") == ["decided"]
    assert trail(any_engine, "open") == ["offered"]
    assert trail(any_engine, "claimed") == ["offered", "claimed"]
    assert database.prune_audit(any_engine, before, False).items == 0


def test_uses_of_the_scope_admin_go_after_a_while(any_engine: Engine) -> None:
    use = AdminUse(0, "k1", "ops", "POST", "/v1/models", ("admin",), 200, "r-1")
    with any_engine.begin() as connection:
        uses.record_admin(connection, [use._replace(at=at) for at in range(10)])
    assert database.prune_admin_uses(any_engine, 7, True).items == 7
    assert database.prune_admin_uses(any_engine, 7, False).items == 7
    with reading(any_engine) as connection:
        assert connection.execute(sa.select(admin_uses.c.at)).scalars().all() == [7, 8, 9]
    assert database_usage(any_engine)["admin_uses"].items == 3


def test_stored_responses_go_once_their_key_counts_no_more(any_engine: Engine) -> None:
    rows = [
        {"key_id": f"k{i % 2}", "idempotency_key": f"i{i}", "request_hash": b"", "status": 200, "answer": b"", "at": i}
        for i in range(10)
    ]
    with any_engine.begin() as connection:
        connection.execute(sa.insert(idempotency), rows)
    assert database.prune_responses(any_engine, 8, True).items == 8
    assert database.prune_responses(any_engine, 8, False).items == 8
    assert count(any_engine, idempotency) == 2


def test_the_newest_drift_verdict_on_each_version_stays(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        for at in range(1, 6):
            for version in ("1", "2"):
                row = {"at": at, "harm": "spam", "version": version, "since": 0, "until": at, "rows": 100}
                verdict = {"drifted": at == 5, "score_drifted": False, "share": at / 10}
                connection.execute(sa.insert(drift_verdicts), [{**row, **verdict}])
    assert database.prune_drift_verdicts(any_engine, 100, False).items == 8
    with reading(any_engine) as connection:
        kept = connection.execute(sa.select(drift_verdicts.c.version, drift_verdicts.c.at)).all()
    assert sorted(map(tuple, kept)) == [("1", 5), ("2", 5)]


def test_retreats_in_force_stay(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        for version in ("1", "2"):
            canary_retreats.record(connection, Retreat(1, "spam", version, "slow", "host"))
        canary_retreats.clear(connection, "spam", "1", 2)
    assert database.prune_canary_retreats(any_engine, 100, False).items == 1
    with reading(any_engine) as connection:
        assert list(canary_retreats.standing(connection)) == [("spam", "2")]


def test_one_host_a_day_has_its_turn(any_engine: Engine) -> None:
    turns = [database.take_turn(any_engine, at, DAY) for at in (5 * DAY, 5 * DAY + 1, 6 * DAY - 1, 6 * DAY, 6 * DAY)]
    assert turns == [True, False, False, True, False]


def test_rows_are_counted_with_their_times_and_growth(any_engine: Engine) -> None:
    world = QueueWorld(any_engine)
    for _ in range(20):
        world.write("c1", "a text")
        world.wait(DAY)
    world.offer("c1")
    found = database_usage(any_engine, now=world.now)
    events = found["events"]
    assert (events.items, events.newest) == (20, world.now - DAY)
    assert events.oldest == world.now - 20 * DAY
    # Those of the last seven days.
    assert events.per_day == 1.0
    assert (found["leads"].items, found["audit"].items) == (1, 1)
    assert found["reviews"].items == 0
    assert (found["events"].size is not None) == (any_engine.dialect.name == "postgresql")

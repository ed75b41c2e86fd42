"""Old rows of monitoring are deleted; what is open, waits, or is recent stays."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.engine import reading
from leads.db.monitoring import runs
from leads.db.monitoring.rows import MetricRow, write
from leads.db.monitoring.summaries import StoredSummary, replace
from leads.db.monitoring.tables import alert_silences, alerts, metric_rows, monitor_runs, prediction_summaries
from leads.db.outbox import messages
from leads.db.outbox.tables import outbox
from leads.retention import database
from leads.retention.usage import database_usage

HOUR = clock.HOUR


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BATCH", 3)


def left(engine: Engine, column: sa.Column[Any]) -> list[Any]:
    with reading(engine) as connection:
        return sorted(connection.execute(sa.select(column)).scalars(), key=lambda value: value or 0)


def pruned(engine: Engine, kind: str, before: int) -> int:
    counted = database.PRUNES[kind](engine, before, True).items
    deleted = database.PRUNES[kind](engine, before, False)
    assert (deleted.kind, deleted.items) == (kind, counted)
    assert database.PRUNES[kind](engine, before, False).items == 0
    return counted


def test_summaries_of_old_hours(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        for hour in range(5):
            rows = [
                StoredSummary("host", "spam", "1", "champion", slice_, hour * HOUR, 1, 1, b"", 0)
                for slice_ in ("", "type=comment")
            ]
            replace(connection, "host", "spam", hour * HOUR, rows)
    assert pruned(any_engine, "prediction_summaries", 3 * HOUR) == 6
    assert set(left(any_engine, prediction_summaries.c.hour)) == {3 * HOUR, 4 * HOUR}
    assert database_usage(any_engine)["prediction_summaries"].items == 4


def test_values_of_old_windows(any_engine: Engine) -> None:
    rows = [MetricRow("spam", "1", "", 0, end, "score.mean", 1.0, None, None, 1, "") for end in range(1, 11)]
    with any_engine.begin() as connection:
        write(connection, "run", rows)
    assert pruned(any_engine, "metric_rows", 8) == 7
    assert left(any_engine, metric_rows.c.until) == [8, 9, 10]
    assert "metric_rows" in database_usage(any_engine)


def test_old_runs(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        for at in range(10):
            runs.begin(connection, "host", at)
    assert pruned(any_engine, "monitor_runs", 9) == 9
    assert left(any_engine, monitor_runs.c.started_at) == [9]


def test_open_alerts_and_silences_in_force_stay(any_engine: Engine) -> None:
    def alert(slice_: str, resolved_at: int | None) -> dict[str, Any]:
        state = "firing" if resolved_at is None else "resolved"
        times = {"since": 0, "opened_at": 0, "seen_at": 0, "resolved_at": resolved_at}
        about = {"rule": "skew", "harm": "spam", "slice": slice_, "version": "", "severity": "page", "state": state}
        return {**about, **times, "limit": 0.0, "detail": {}}

    def silence(until: int) -> dict[str, Any]:
        return {"rule": "*", "harm": "*", "until": until, "by": "ann", "why": "a test", "created_at": 0}

    with any_engine.begin() as connection:
        connection.execute(sa.insert(alerts), [alert("a", None), *(alert(f"b{at}", at) for at in range(1, 6))])
        connection.execute(sa.insert(alert_silences), [silence(at) for at in (1, 2, 100)])
    assert pruned(any_engine, "alerts", 5) == 4 + 2
    assert left(any_engine, alerts.c.resolved_at) == [None, 5]
    assert left(any_engine, alert_silences.c.until) == [100]
    assert database_usage(any_engine)["alerts"].items >= 2


def test_messages_that_wait_stay(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        for at in range(4):
            messages.put(connection, "alerts", str(at), b"{}", at)
        connection.execute(sa.update(outbox).where(outbox.c.created_at < 3).values(done_at=outbox.c.created_at))
    assert pruned(any_engine, "outbox", 2) == 2
    assert left(any_engine, outbox.c.created_at) == [2, 3]

"""The metrics follow the state of the process, and a failed update doesn't stop them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from leads import clock
from leads.db.monitoring import runs
from leads.db.monitoring.rows import MetricRow, write
from leads.db.monitoring.tables import alerts
from leads.db.outbox import messages
from serving.observe import metrics_updates
from serving.observe.metrics_updates import (
    keep_monitoring_up_to_date,
    keep_up_to_date,
    snapshot,
    update_monitoring,
    update_queue,
)
from serving.runtime import Runtime
from tests.support.serving.queue_world import QueueWorld
from tests.support.serving.world import point_to


def test_snapshot_reports_loaded_and_refused_versions(runtime: Runtime) -> None:
    found = snapshot(runtime)
    assert found.versions == {("spam", "champion", "1"), ("stream_manipulation", "champion", "1")}
    assert found.refusals == {"spam": 0, "stream_manipulation": 0}
    point_to(runtime.settings, "spam", "2")
    runtime.published.refresh()
    found = snapshot(runtime)
    assert ("spam", "champion", "1") in found.versions
    assert found.refusals["spam"] == 1
    assert found.shadow_rows == {"scored": 0, "compared": 0, "dropped": 0, "failed": 0}
    assert found.retreats == {"spam": 0, "stream_manipulation": 0}


def test_updates_continue_after_a_failure(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = 0

    class Broken:
        waiting = failures = 0

        @property
        def dropped(self) -> int:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise OSError("a secret path")
            return 7

    async def some_updates() -> None:
        task = asyncio.create_task(keep_up_to_date(replace(runtime, predictions=Broken())))  # type: ignore[arg-type]
        while looks < 3:
            await asyncio.sleep(0.01)
        task.cancel()

    monkeypatch.setattr(metrics_updates, "UPDATE_S", 0.01)
    asyncio.run(some_updates())
    assert "leads_predictions_dropped_total 7.0" in runtime.metrics.text().decode()
    assert "OSError in" in caplog.text
    assert "secret" not in caplog.text


def test_the_depth_of_the_queue_is_shown_for_the_harms_of_a_key(runtime: Runtime) -> None:
    world = QueueWorld(runtime.engine)
    world.now = clock.now() - clock.HOUR
    world.offer("c1")
    world.offer("c2", harm="sexism")
    world.claim(1, harms={"sexism"})
    update_queue(runtime)
    text = runtime.metrics.text({"spam"}).decode()
    assert 'leads_queue_leads{harm="spam",state="open"} 1.0' in text
    assert "sexism" not in text
    (oldest,) = [line for line in text.splitlines() if line.startswith("leads_queue_oldest_open_seconds{")]
    assert 3_600 <= float(oldest.split()[-1]) < 3_700
    everything = runtime.metrics.text().decode()
    assert 'leads_queue_leads{harm="sexism",state="claimed"} 1.0' in everything
    assert 'leads_queue_oldest_open_seconds{harm="sexism"} 0.0' in everything


NOW = clock.now()


def precision(value: float | None, harm: str = "spam") -> MetricRow:
    return MetricRow(
        harm, "3", "", NOW - clock.DAY, NOW, "performance.precision", value, None, None, 90, "clopper-pearson"
    )


def alert(rule: str, harm: str, state: str = "firing") -> dict[str, object]:
    times = {"since": NOW, "opened_at": NOW, "seen_at": NOW, "resolved_at": NOW if state == "resolved" else None}
    about = {"rule": rule, "harm": harm, "slice": "", "version": "3", "severity": "page", "state": state}
    return {**about, **times, "limit": 0.0, "detail": {}}


def test_what_monitoring_found_is_shown(runtime: Runtime) -> None:
    with runtime.engine.begin() as connection:
        write(connection, "run", [precision(0.8), precision(0.7, "no_longer_a_harm")])
        connection.execute(
            sa.insert(alerts),
            [
                alert("skew", "spam"),
                alert("queue_old", "spam", "resolved"),
                alert("of_a_newer_release", "spam"),
                alert("feed_stopped", ""),
            ],
        )
        id_ = runs.begin(connection, "host", NOW - clock.MINUTE)
        runs.end(connection, id_, NOW, until=NOW, notes=[], failed=True)
        messages.put(connection, "alerts", "a", b"{}", NOW - 90 * clock.SECOND)
    update_monitoring(runtime)
    lines = runtime.metrics.text().decode().splitlines()
    assert 'leads_monitoring_value{harm="spam",metric="performance.precision"} 0.8' in lines
    assert 'leads_alerts_open{harm="spam",rule="skew",severity="page"} 1.0' in lines
    assert 'leads_alerts_open{harm="spam",rule="other",severity="page"} 1.0' in lines
    assert 'leads_alerts_open{harm="",rule="feed_stopped",severity="page"} 1.0' in lines
    assert "leads_monitoring_run_failed 1.0" in lines
    assert "leads_outbox_waiting 1.0" in lines
    assert not [line for line in lines if 'rule="queue_old"' in line or "no_longer_a_harm" in line]
    (at,) = [line for line in lines if line.startswith("leads_monitoring_run_timestamp_seconds ")]
    assert float(at.split()[1]) == pytest.approx(NOW / clock.SECOND - 60, abs=1)
    (oldest,) = [line for line in lines if line.startswith("leads_outbox_oldest_seconds ")]
    # The tests that ran since this file was imported may have taken long.
    assert 90 <= float(oldest.split()[1]) <= 90 + (clock.now() - NOW) / clock.SECOND
    # A key for some harms sees neither others nor the platform's.
    assert "leads_alerts_open{" not in runtime.metrics.text({"sexism"}).decode()


def test_what_is_over_does_not_stay_in_the_metrics(runtime: Runtime) -> None:
    with runtime.engine.begin() as connection:
        write(connection, "run", [precision(0.8)])
        connection.execute(sa.insert(alerts), [alert("skew", "spam")])
    update_monitoring(runtime)
    with runtime.engine.begin() as connection:
        write(connection, "run", [precision(None)])
        connection.execute(sa.update(alerts).values(state="resolved", resolved_at=NOW))
    update_monitoring(runtime)
    text = runtime.metrics.text().decode()
    assert 'leads_monitoring_value{harm="spam",metric="performance.precision"} NaN' in text
    assert 'leads_alerts_open{harm="spam",rule="skew",severity="page"} 0.0' in text


def test_metrics_of_monitoring_are_updated_until_cancelled(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = 0

    def count(_: Runtime) -> None:
        nonlocal updates
        updates += 1
        if updates == 1:
            raise OSError("no")

    async def some() -> None:
        task = asyncio.create_task(keep_monitoring_up_to_date(runtime))
        while updates < 3:
            await asyncio.sleep(0.01)
        task.cancel()

    monkeypatch.setattr(metrics_updates, "update_monitoring", count)
    monkeypatch.setattr(metrics_updates, "MONITORING_S", 0.01)
    asyncio.run(some())
    assert updates >= 3

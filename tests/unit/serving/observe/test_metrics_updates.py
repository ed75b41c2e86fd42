"""The metrics follow the state of the process, and a failed update doesn't stop them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from leads import clock
from serving.observe import metrics_updates
from serving.observe.metrics_updates import keep_up_to_date, snapshot, update_queue
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

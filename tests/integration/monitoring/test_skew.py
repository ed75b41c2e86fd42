"""`leads skew`: no skew over a day with late events and killed workers; planted differences are found by column."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli.app import app
from features.declared.builtin import ACCOUNT, BUILTIN
from features.evaluate.row_times import RowTimes, TimePlan
from features.layout import HEADER, Instants, Matrix
from leads import clock
from leads.errors import NotFound
from leads.events import Subject
from leads.predictions.log import read_predictions
from leads.settings import Settings, load_settings
from monitoring.skew.check import LAG, check
from serving.scoring.inputs import ScoreRequest
from serving.scoring.scorer import Scorer
from serving.scoring.texts import cache as text_cache
from serving.served import ServedMark
from tests.support.serving.world import POLICIES
from tests.support.skew_world import PORTIONS, N, SkewWorld, columns_of

pytestmark = pytest.mark.slow
RUNNER = CliRunner()


def world_on(home: Path, store: str = "sqlite", redis: str | None = None, segment_flush_s: float = 60.0) -> SkewWorld:
    return SkewWorld(
        load_settings(
            home=home,
            corpora="",
            online_store=store,
            redis_url=redis,
            online_flush_s=0.001,
            segment_flush_s=segment_flush_s,
        )
    )


@pytest.fixture(params=["sqlite", "redis"])
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SkewWorld]:
    """A platform on each online store that serving reads directly; segments follow soon after."""
    redis = request.getfixturevalue("redis_address") if request.param == "redis" else None
    made = world_on(tmp_path, request.param, redis, segment_flush_s=0.05)
    yield made
    made.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SkewWorld]:
    """A platform with one portion of events folded, scored and written."""
    made = world_on(tmp_path)
    made.send()
    made.work()
    made.finish()
    yield made
    made.close()


def test_a_day_with_late_events_and_restarts_shows_no_skew(any_world: SkewWorld) -> None:
    world = any_world
    for portion in range(PORTIONS):
        first = world.send()
        # Two seconds behind: not enough for a difference.
        world.ask(first + 2 * clock.SECOND)
        if portion % 2:
            world.work(steps=2)
            world.start_worker()
        world.work()
        world.ask(world.now + clock.SECOND // 2)
    world.finish()
    world.ask(world.now + 11 * clock.HOUR)
    result = world.prove()
    assert columns_of(result) == {}
    assert not result.differs
    assert [one.harm for one in result.harms] == ["spam", "stream_manipulation"]
    for one in result.harms:
        assert one.checked == one.predictions > 500
        assert (one.too_new, one.not_verified, one.texts_unverifiable, one.unreadable) == (0, 0, 0, 0)
        assert 1.9 < one.lag.max_s <= 2.1
        assert 0 < one.lag.share < 0.5
        table = read_predictions(world.settings.predictions_dir, one.harm)
        vectors = np.array(table["vector"].to_pylist(), np.float32)
        varied = [len(np.unique(column[~np.isnan(column)])) > 1 for column in vectors.T]
        # The columns vary, though accounts have no item, parent or text.
        assert np.mean(varied) > (0.6 if one.harm == "spam" else 0.4)
        assert set(table["source"].to_pylist()) == {"api", "worker"}


def test_a_killed_worker_causes_no_skew(tmp_path: Path) -> None:
    world = world_on(tmp_path)
    for _ in range(PORTIONS):
        world.send()
    world.close()
    env = {**os.environ, "LEADS_HOME": str(tmp_path), "LEADS_CORPORA": "none", "LEADS_SEGMENT_FLUSH_S": "0.3"}
    command = [sys.executable, "-P", "-m", "cli", "worker", "--once", "--quiet"]
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None and not has_predictions(world.settings):
        time.sleep(0.01)
    assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert subprocess.run(command, env=env, stdout=subprocess.DEVNULL, check=False, timeout=120).returncode == 0
    result = check(world.settings, length=3 * clock.DAY)
    assert columns_of(result) == {}
    # What the killed worker had scored in its last second is lost: more on a faster machine.
    assert result.checked > 100
    assert sum(one.too_new + one.not_verified for one in result.harms) == 0


@pytest.mark.parametrize("marked", [True, False])
def test_history_that_arrives_after_a_prediction_is_no_skew(world: SkewWorld, marked: bool) -> None:
    """Training must not believe that a prediction knew an event that was appended later, whatever its file says."""
    at = world.waiting[N // PORTIONS].visible_at + clock.HOUR
    served = ServedMark(world.engine, world.log)
    scorer = Scorer(world.engine, POLICIES, world.reader, world.published, served if marked else world.log)
    scorer.score([ScoreRequest(Subject("account", f"a{i}")) for i in range(0, 400, 7)], at, "api")
    served.write()
    first = world.send()
    world.work()
    world.finish()
    assert first < at
    assert (world.now > at) is marked
    assert world.prove().differs is not marked


def has_predictions(settings: Settings) -> bool:
    return any(settings.predictions_dir.glob("harm=*/day=*/*.parquet"))


def test_predictions_newer_than_the_segments_are_left_to_the_next_run(world: SkewWorld) -> None:
    before = world.prove()
    world.send()
    world.work()
    first = world.prove()
    assert not first.differs
    assert first.checked == before.checked
    assert sum(one.too_new for one in first.harms) > 100
    world.finish()
    second = world.prove()
    assert not second.differs
    assert sum(one.too_new for one in second.harms) == 0
    assert second.checked > first.checked


def test_an_altered_online_row_is_found(world: SkewWorld) -> None:
    world.add("account", "a7", ACCOUNT.places.cells["verdict by creator where violating"], 3)
    world.ask(world.now, [Subject("account", "a7")])
    result = world.prove()
    assert "account.strikes" in columns_of(result)["value"] <= {"account.strikes", "account.strike_share"}
    (found,) = [one for harm in result.harms for one in harm.differences if one.column == "account.strikes"]
    assert (found.predictions, found.largest, found.example.subject) == (1, 3.0, "account:a7")
    assert found.example.served == found.example.expected + 3
    assert found.meaning == BUILTIN.by_name["account.strikes"].meaning


def test_an_online_row_that_nobody_wrote_is_found(world: SkewWorld) -> None:
    # Its newest event became visible a microsecond later than any that was folded.
    world.add("account", "a7", HEADER - 1, 1)
    world.ask(world.now + clock.SECOND, [Subject("account", "a7")])
    assert columns_of(world.prove()) == {"unknown row": {"account row"}}


def test_a_window_that_serving_slides_one_bucket_too_far_is_found(
    world: SkewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = TimePlan.of

    def too_far(self: TimePlan, heads: Matrix, as_of: Instants) -> RowTimes:
        times, later = right(self, heads, as_of), right(self, heads, as_of + clock.HOUR)
        daily = np.array([[ring.window == "24h"] for _, ring in self.rings])
        return times._replace(within=np.where(daily, later.within, times.within))

    with monkeypatch.context() as patch:
        patch.setattr(TimePlan, "of", too_far)
        # Just before the event of 24 buckets ago would leave by itself.
        world.ask(world.sent[0].visible_at // clock.HOUR * clock.HOUR + 24 * clock.HOUR - clock.MINUTE)
    found = columns_of(world.prove(lag=clock.DAY))
    assert set(found) == {"value"}
    assert "account.plays_24h" in found["value"]
    assert {name for name in found["value"] if not name.endswith("_24h")} <= {
        "account.item_velocity",
        "item.play_velocity",
        "item.report_surge",
    }


def test_a_row_missing_online_is_found_after_the_lag(world: SkewWorld) -> None:
    account = next(one.body.account_id for one in world.sent if getattr(one.body, "parent", None))
    world.remove("account", str(account))
    comment = world.comments(account)[0]
    world.ask(world.now + 1, [comment])
    result = world.prove()
    found = columns_of(result)
    assert set(found) == {"missing row"}
    assert {"account.age_h", "account.items_7d"} <= found["missing row"]
    assert {name.partition(".")[0] for name in found["missing row"]} == {"account"}
    assert sum(one.differing for one in result.harms) == 1
    lenient = world.prove(lag=30 * clock.DAY)
    assert not lenient.differs
    assert max(one.lag.max_s for one in lenient.harms) > 60


def test_an_older_row_put_back_is_found(world: SkewWorld) -> None:
    busy = Subject("account", "a7")
    old = world.stored("account", busy.id)
    while world.stored("account", busy.id) == old:
        world.send()
        world.work()
    world.finish()
    world.put("account", busy.id, old)
    world.ask(world.now + 11 * clock.SECOND, [busy])
    found = columns_of(world.prove())
    assert set(found) == {"stale row"}
    assert {name.partition(".")[0] for name in found["stale row"]} == {"account"}


def test_staleness_counts_from_the_first_newer_row(world: SkewWorld) -> None:
    busy = Subject("account", "a7")
    old = world.stored("account", busy.id)
    while world.waiting:
        world.send()
        world.work()
    world.finish()
    world.put("account", busy.id, old)
    at = world.now + 1
    world.ask(at, [busy])
    newer = [one.visible_at for one in world.sent if getattr(one.body, "account_id", None) == busy.id]
    (lag,) = [one.lag for one in world.prove(lag=LAG).harms if one.lag.max_s]
    served = int(world.reader.fetch([busy]).row_at[0, 1])
    expected = (at - min(instant for instant in newer if instant > served)) / clock.SECOND
    assert lag.max_s >= expected > 1_000
    limit = round(lag.max_s * clock.SECOND)
    assert not world.prove(lag=limit).differs
    assert world.prove(lag=limit - 1).differs


def test_a_text_scored_differently_is_found(world: SkewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    right = text_cache.text_counts
    with monkeypatch.context() as patch:
        # Counts of texts that were scored before are known.
        patch.setattr(world.scorer, "_text_cache", text_cache.TextCache())
        patch.setattr(text_cache, "text_counts", lambda texts: right([f"{text}!" for text in texts]))
        world.ask(world.now)
    found = columns_of(world.prove())
    assert set(found) == {"value"}
    assert {"text.chars", "text.punctuation_share"} <= found["value"]
    assert {name.partition(".")[0] for name in found["value"]} == {"text"}


def test_a_text_from_the_request_leaves_only_its_columns_unchecked(world: SkewWorld) -> None:
    comment = world.comments()[0]
    world.ask(world.now, [comment], text="never seen before, nowhere")
    first = world.prove()
    assert not first.differs
    assert sum(one.texts_unverifiable for one in first.harms) == 1


def test_the_text_before_an_edit_is_found_by_its_hash(world: SkewWorld) -> None:
    edited = next(one.body.subject.subject for one in world.sent if one.event.id.startswith("edit-"))
    world.ask(world.now, [edited], text=None)
    first = next(one.body for one in world.sent if getattr(one.body, "subject", None) == world.sent[-1].body.subject)
    world.ask(world.now, [edited], text=first.text)
    result = world.prove()
    assert not result.differs
    assert sum(one.texts_unverifiable for one in result.harms) == 0


def test_the_exit_code_reports_skew(world: SkewWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    world.log.flush()
    monkeypatch.setenv("LEADS_HOME", str(world.settings.root))
    monkeypatch.setenv("LEADS_CORPORA", "none")
    fine = RUNNER.invoke(app, ["skew", "--days", "3"])
    assert fine.exit_code == 0, fine.output
    assert "No skew" in fine.output
    assert "leads drift" in fine.output
    world.add("account", "a7", ACCOUNT.places.cells["verdict by creator where violating"], 3)
    world.ask(world.now, [Subject("account", "a7")])
    world.log.flush()
    path = world.settings.root / "skew.json"
    wrong = RUNNER.invoke(app, ["skew", "--days", "3", "--json", str(path), "--quiet"])
    assert wrong.exit_code == 3, wrong.output
    assert "account.strikes" in wrong.output
    assert "leads drift" not in wrong.output
    differences = [one for harm in json.loads(path.read_bytes())["harms"] for one in harm["differences"]]
    (strikes,) = [one for one in differences if one["column"] == "account.strikes"]
    assert (strikes["kind"], strikes["largest"]) == ("value", 3.0)
    assert RUNNER.invoke(app, ["skew", "spam", "--until", "yesterday"]).exit_code != 0


def test_an_empty_log_is_an_error_with_a_remedy(settings: Settings) -> None:
    with pytest.raises(NotFound, match="leads serve"):
        check(settings)
    with pytest.raises(NotFound, match="spam"):
        check(settings, ["spam"])

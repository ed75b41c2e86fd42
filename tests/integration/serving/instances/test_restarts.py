"""A rolling restart: no request fails, nothing is lost or doubled, and what can't start replaces nothing."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.settings import Settings
from tests.support.serving.fake_registry import tamper
from tests.support.serving.instances import Callers, Served, environment_of, run_leads, serving, times_logged, until
from tests.support.serving.world import SPAM_TEXT, publish

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def key(engine: Engine) -> str:
    return keys.create(engine, "x", ["admin"]).text


def total_of(metrics: str, name: str) -> float:
    """The sum of a metric over all its series."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", metrics, re.MULTILINE))


def check_log(callers: Callers, engine: Engine) -> None:
    """No request failed, and the log has every event that was accepted, once."""
    assert callers.errors == []
    logged = times_logged(engine)
    assert callers.accepted
    assert logged.keys() == callers.accepted
    assert set(logged.values()) == {1}


def test_a_restart_replaces_every_process_without_a_failed_request(
    settings: Settings, engine: Engine, key: str
) -> None:
    publish(settings, "spam")
    with serving(settings, "--workers", "2", "--no-worker", env={"LEADS_MONITOR": "on"}) as instance:
        until(instance.ready, instance.said)
        before = {one.pid for one in instance.children()}
        assert len(instance.apis()) == 2
        with Callers(instance.url, key) as callers:
            until(lambda: callers.answered >= 20)
            done = instance.restart()
            assert done.returncode == 0, done.stderr + instance.said()
            answered = callers.answered
            until(lambda: callers.answered >= answered + 20)
        check_log(callers, engine)
        # The supervisor is the same process, with new children.
        assert instance.process.poll() is None
        assert len(instance.apis()) == 2
        assert not before & {one.pid for one in instance.children()}
        steps = done.stdout.splitlines()
        assert steps[0].startswith(f"Restarting the service on {instance.url} (process {instance.process.pid}).")
        assert [step.strip() for step in steps[1:-1]] == [
            "checking the settings and the new code",
            "starting 2 new API processes",
            "handing over to them",
            "restarting follower",
            "restarting monitor",
        ]
        assert re.fullmatch(r"Restarted in [\d.]+ s\.", steps[-1])
        # Totals go on; they don't start again.
        until(lambda: total_of(instance.get("/metrics", key).text, "leads_http_requests_total") >= callers.answered)
        # And once more, by the signal: the supervisor is now the program that replaced the first one.
        second = {one.pid for one in instance.apis()}
        instance.process.send_signal(signal.SIGHUP)
        until(lambda: len(instance.apis()) == 2 and not second & {one.pid for one in instance.apis()}, instance.said)
        assert instance.ready()


def test_what_cant_start_replaces_nothing(settings: Settings, engine: Engine, key: str) -> None:
    publish(settings, "spam")
    broken = settings.root / "broken.yaml"
    broken.write_text("harms: 5\n")
    with serving(settings, "--no-worker") as instance:
        until(instance.ready, instance.said)
        before = instance.apis()
        for env, says in (
            ({"LEADS_POLICIES": str(broken)}, "broken.yaml"),
            ({"LEADS_PLATFORM": str(broken)}, "broken.yaml"),
            ({"LEADS_RATE_LIMIT": "many"}, "LEADS_RATE_LIMIT"),
        ):
            done = instance.restart("--environment", env=env)
            assert done.returncode == 1
            assert says in done.stderr
            # Nothing was started for it, and the reason is one line.
            assert "new API process" not in done.stdout
            assert "Traceback" not in done.stderr
            assert "\\n" not in done.stderr
        assert instance.ready()
        assert instance.apis() == before
        # The settings are still those of before.
        done = instance.restart()
        assert done.returncode == 0, done.stderr + instance.said()
        assert instance.ready()


def test_a_version_that_only_the_old_processes_have_is_not_lost(settings: Settings, engine: Engine, key: str) -> None:
    """Without a registry, a damaged version can't be fetched again."""
    folder = publish(settings, "spam")
    scoring = {"subjects": [{"id": "c1", "typeId": "comment", "data": {"text": SPAM_TEXT}}], "harms": ["spam"]}
    with serving(settings, "--no-worker") as instance:
        until(instance.ready, instance.said)
        before = instance.apis()
        held = settings.root / "instances"
        until(lambda: [one for one in held.glob("*/versions/*.json") if '"spam":"1"' in one.read_text()])
        tamper(folder)
        done = instance.restart()
        assert done.returncode == 1
        for part in ("spam version 1: ", "booster.ubj", "leads restart --force", "The earlier processes still answer."):
            assert part in done.stderr
        assert "Traceback" not in done.stderr
        assert instance.apis() == before
        assert instance.ready()
        assert instance.post("/v1/score", key, scoring).status_code == 200
        done = instance.restart("--force")
        assert done.returncode == 0, done.stderr + instance.said()
        assert not instance.ready()
        found = instance.post("/v1/score", key, scoring)
        assert found.status_code == 503
        assert "Version 1 of spam is damaged" in found.json()["errors"][0]["detail"]
        # Now nothing can be lost.
        assert instance.restart().returncode == 0


def test_new_environment_variables_apply_from_a_restart_on(settings: Settings, engine: Engine, key: str) -> None:
    with serving(settings, "--no-worker") as instance:
        until(instance.apis)
        done = instance.restart("--environment", env={"LEADS_LOG_FORMAT": "text", "LEADS_WORKERS": "2"})
        assert done.returncode == 0, done.stderr + instance.said()
        assert len(instance.apis()) == 2
        for one in instance.apis():
            assert one.environ()["LEADS_LOG_FORMAT"] == "text"
        # They also apply to later ones.
        assert instance.restart().returncode == 0
        assert len(instance.apis()) == 2
        assert all(one.environ()["LEADS_LOG_FORMAT"] == "text" for one in instance.apis())


def test_without_an_instance_there_is_nothing_to_restart(settings: Settings, engine: Engine) -> None:
    done = run_leads(environment_of(settings), "restart")
    assert done.returncode == 1
    assert "Lead Serving isn't running in this home. Start it: leads serve" in done.stderr


def test_two_instances_of_a_home_have_metrics_of_their_own_and_one_worker(
    settings: Settings, engine: Engine, key: str
) -> None:
    publish(settings, "spam")
    with serving(settings) as first:
        until(first.ready, first.said)
        worker_log = settings.root / "logs" / "worker.log"
        for _ in range(5):
            assert first.get("/v1/models", key).status_code == 200
        with serving(settings) as second:
            until(second.ready, second.said)
            assert second.get("/v1/models", key).status_code == 200
            # The second one waits for the worker's lock and for the follower's, and says so once.
            waits = "waiting to take over: Another process is running the worker."
            until(lambda: waits in worker_log.read_text(), second.said)
            (waiting,) = second.children("cli worker")
            series = 'leads_http_requests_total{method="GET",route="/v1/models",status="200"}'
            until(lambda: f"{series} 5.0" in first.get("/metrics", key).text)
            until(lambda: f"{series} 1.0" in second.get("/metrics", key).text)
            first.children()
            first.process.terminate()
            assert first.process.wait(120) == 0
            until(lambda: worker_log.read_text().count("waiting for a follower") == 2, second.said)
            # It is the process that waited, not another one after a failure.
            assert second.children("cli worker") == [waiting]
            assert worker_log.read_text().count(waits) == 1
            follower_log = (settings.root / "logs" / "follower.log").read_text()
            assert follower_log.count("waiting to take over: Another process is following the registry.") == 1
            assert f"{series} 1.0" in second.get("/metrics", key).text


def paced(instance: Served, key: str, engine: Engine, restarts: int) -> tuple[Callers, float]:
    """Restart again and again at 200 requests/s; returns the callers and how long it took."""
    began = time.monotonic()
    with Callers(instance.url, key, threads=16, per_s=200) as callers:
        until(lambda: callers.answered >= 200)
        for n in range(restarts):
            done = instance.restart()
            assert done.returncode == 0, f"restart {n}: {done.stderr}\n{instance.said()}"
            assert callers.errors == [], f"restart {n}"
        answered = callers.answered
        until(lambda: callers.answered >= answered + 200)
    return callers, time.monotonic() - began


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_twenty_restarts_at_200_requests_per_second(
    settings: Settings, engine: Engine, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(settings, "spam")
    with serving(settings, "--workers", "2") as instance:
        until(instance.ready, instance.said)
        callers, took_s = paced(instance, key, engine, restarts=20)
        check_log(callers, engine)
        with capsys.disabled():
            print(
                f"\n20 restarts in {took_s:.0f} s, {callers.answered} requests, {callers.answered / took_s:.0f} per s"
            )
        os.kill(instance.process.pid, 0)

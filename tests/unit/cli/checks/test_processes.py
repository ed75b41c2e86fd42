"""Whether API, follower and workers run, and what they say."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.checks.host import check_port
from cli.checks.processes import check_api, check_follower, check_worker
from features.partition import Partition
from leads import clock
from leads.db.engine import migrate
from leads.files import only_one
from leads.settings import Settings, load_settings
from serving.versions.published_state import LOCK_FILE, HarmState, PublishedState, write_state
from serving.worker.shares import held


@contextmanager
def api(status: int, body: str) -> Iterator[Settings]:
    """Settings of an API that gives this answer."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/readyz"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield load_settings(host="0.0.0.0", port=made.server_port, corpora="none")
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, '{"status":"ready","online_store":"ok"}', "ok"),
        (200, '{"status":"ready","online_store":"open"}', "warning"),
        (503, '{"status":"not_ready"}', "warning"),
        (200, '{"status":"ready","online_store":"ok","versions":"damaged"}', "warning"),
        (503, '{"status":"not_ready","versions":"damaged"}', "warning"),
        (503, '{"status":"starting"}', "warning"),
        (200, "<html>", "failed"),
        (404, "[1]", "failed"),
    ],
)
def test_what_the_api_answers_is_shown(status: int, body: str, state: str) -> None:
    with api(status, body) as settings:
        assert check_api(settings).state == state
        assert f"http://127.0.0.1:{settings.port}" in check_api(settings).detail
        port = check_port(settings)
        assert port.state == ("failed" if state == "failed" else "ok")
        assert ("python" in port.detail) is (state == "failed")


def test_an_api_with_a_damaged_version_is_not_told_to_train() -> None:
    with api(503, '{"status":"not_ready","versions":"damaged"}') as settings:
        found = check_api(settings)
    assert "a published version is damaged" in found.detail
    assert "leads train" not in found.remedy


def test_an_api_that_can_load_no_champion_is_a_failure_and_says_where_the_reason_is(tmp_path: Path) -> None:
    with api(503, '{"status":"not_ready"}') as given:
        settings = load_settings(home=tmp_path, host=given.host, port=given.port, corpora="none")
        write_state(settings.published_dir, PublishedState(clock.now(), {"spam": HarmState("2")}))
        found = check_api(settings)
    assert found.state == "failed"
    assert "can't load the champions" in found.detail
    assert "api.log" in found.remedy
    # A damaged one is fetched again, so there is nothing to do yet.
    with api(503, '{"status":"not_ready","versions":"damaged"}') as given:
        found = check_api(load_settings(home=tmp_path, host=given.host, port=given.port, corpora="none"))
    assert found.state == "warning"
    assert "a published version is damaged" in found.detail


def test_an_api_that_does_not_run_is_no_failure() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = load_settings(port=probe.getsockname()[1], corpora="none")
    found = check_api(settings)
    assert (found.state, found.remedy) == ("not_running", "Start it: leads serve")
    assert check_port(settings).state == "ok"


def test_the_follower_is_known_by_its_lock_and_its_last_answer(settings: Settings) -> None:
    assert check_follower(settings).state == "not_running"
    with only_one(settings.published_dir / LOCK_FILE, what="following"):
        assert check_follower(settings).detail == "It runs; there is no registry yet"
        (settings.root / "mlflow.db").touch()
        assert "since it started" in check_follower(settings).detail
        for state, expected in (
            (PublishedState(clock.now()), "ok"),
            (PublishedState(clock.now() - 2 * clock.HOUR), "warning"),
            (PublishedState(clock.now(), {"spam": HarmState(refused={"3": "damaged"})}), "failed"),
            (PublishedState(clock.now(), {"spam": HarmState("2", refused={"3": "damaged"})}), "warning"),
            (PublishedState(clock.now(), {"spam": HarmState("3", damaged={"3": "truncated"})}), "warning"),
        ):
            write_state(settings.published_dir, state)
            assert check_follower(settings).state == expected
    assert check_follower(settings).state == "not_running"


def test_workers_are_known_by_their_locks(settings: Settings) -> None:
    migrate(settings)
    share = Partition(1, 2)
    found = check_worker(settings, share)
    assert (found.check, found.state) == ("worker 1", "not_running")
    with held(settings, share):
        found = check_worker(settings, share)
        assert (found.state, found.detail) == ("ok", "It runs; features up to event 0")

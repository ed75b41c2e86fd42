"""`leads serve` as a user starts it: a killed child comes back on the same socket, and nothing is left at the end."""

from __future__ import annotations

import os
import signal
import socket
import threading

import httpx
import pytest
from sqlalchemy.engine import Engine

from leads.settings import Settings
from tests.support.serving.instances import environment_of, run_leads, serving, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_killed_api_process_comes_back_and_nothing_is_left_at_the_end(settings: Settings, engine: Engine) -> None:
    with serving(settings, "--no-worker") as instance:
        (api,) = instance.apis()
        # While the supervisor can't act, requests aren't refused: they wait.
        instance.process.send_signal(signal.SIGSTOP)
        os.kill(api.pid, signal.SIGKILL)
        until(lambda: api not in instance.left())
        answers: list[httpx.Response] = []
        request = threading.Thread(target=lambda: answers.append(instance.get("/livez")))
        request.start()
        instance.process.send_signal(signal.SIGCONT)
        request.join(120)
        assert [answer.status_code for answer in answers] == [200], instance.said()
        (second,) = instance.apis()
        assert second != api

        assert len(instance.children()) >= 2
        instance.process.terminate()
        assert instance.process.wait(60) == 0
        assert instance.left() == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", instance.port))
    assert list((settings.root / "instances").glob("*-*")) == []


def test_children_end_with_a_supervisor_that_is_killed(settings: Settings, engine: Engine) -> None:
    """It listens on IPv6, and says so."""
    with serving(settings, "--no-worker", host="::1") as instance:
        assert f"Lead Serving is starting on http://[::1]:{instance.port}." in instance.output.read_text()
        assert instance.children()
        os.kill(instance.process.pid, signal.SIGKILL)
        until(lambda: instance.left() == [])


def test_a_taken_port_is_an_error_and_nothing_is_announced(settings: Settings, engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_leads(environment_of(settings), "serve", "--port", str(port), "--no-worker")
    assert done.returncode == 1
    assert f"Can't listen on 127.0.0.1:{port}: Address already in use." in done.stderr
    assert "starting" not in done.stdout

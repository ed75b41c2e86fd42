"""`leads serve` as a user starts it: a killed child comes back on the same port, and nothing is left at the end."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import psutil
import pytest
from sqlalchemy.engine import Engine

from leads.processes import python, start, stop
from leads.settings import Settings
from tests.support.paths import REPOSITORY
from tests.support.serving.served import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Instance:
    """A running `leads serve`."""

    def __init__(self, settings: Settings) -> None:
        self.port = free_port()
        env = {
            "LEADS_HOME": str(settings.root),
            "LEADS_MLFLOW_URI": "http://127.0.0.1:1",
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'clients' / 'python'}",
        }
        command = python("cli", "serve", "--port", str(self.port), "--no-worker")
        self.process = start(command, env=env, log=settings.root / "serve.log")
        self.seen: set[psutil.Process] = set()

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{self.port}/livez"
            return httpx.get(url, trust_env=False, headers={"connection": "close"}).status_code == 200
        return False

    def children(self, of: str) -> list[psutil.Process]:
        """The descendants whose command line contains `of`; remembers all of them."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.seen.update(found)
        with suppress(psutil.Error):
            return [one for one in found if of in " ".join(one.cmdline())]
        return []

    def left(self) -> list[psutil.Process]:
        return [one for one in self.seen if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def instance(settings: Settings, engine: Engine) -> Iterator[Instance]:
    made = Instance(settings)
    yield made
    stop(made.process, grace_s=30)
    for process in made.left():
        process.kill()


def test_the_api_comes_back_when_bentoml_is_killed_and_nothing_is_left_at_the_end(instance: Instance) -> None:
    until(instance.answers)
    (master,), (api,) = instance.children("bentoml serve"), instance.children("_bentoml_impl.worker.service")
    # While the supervisor can't act, the API process ends by itself.
    instance.process.send_signal(signal.SIGSTOP)
    os.kill(master.pid, signal.SIGKILL)
    until(lambda: api not in instance.left())
    instance.process.send_signal(signal.SIGCONT)
    until(instance.answers)
    (master,), (api,) = instance.children("bentoml serve"), instance.children("_bentoml_impl.worker.service")
    os.kill(master.pid, signal.SIGKILL)
    until(lambda: api not in instance.left())
    until(instance.answers)
    instance.children("")
    instance.process.terminate()
    assert instance.process.wait(60) == 0
    assert instance.left() == []
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", instance.port))

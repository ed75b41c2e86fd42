"""`leads serve` as a user starts it, and callers that send to it all the time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import httpx
import psutil
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.db.engine import reading
from leads.db.tables import events
from leads.processes import python, start, stop
from leads.settings import Settings
from leads_client import Client, item, subject
from tests.support.paths import REPOSITORY
from tests.support.serving.served import free_port
from tests.support.serving.world import SPAM_TEXT

# Shared machines stall; nothing here takes that long.
_WAIT_S = 240.0


def until(done: Callable[[], object], what: Callable[[], str] = lambda: "") -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + _WAIT_S
    while not done():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


class Served:
    """A running `leads serve`.

    Args:
        options: for the command, in addition to the port.
        env: more environment variables; None removes one.
    """

    def __init__(
        self,
        settings: Settings,
        *options: str,
        port: int | None = None,
        host: str = "127.0.0.1",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self.port = port or free_port()
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.env = environment_of(settings) | dict(env or {})
        # Several instances of a home each have an output of their own.
        self.output = settings.root / f"serve-{self.port}.log"
        command = python("cli", "serve", "--host", host, "--port", str(self.port), *options)
        self.process = start(command, env=self.env, log=self.output)
        self.seen: set[psutil.Process] = set()

    def get(self, path: str, key: str = "") -> httpx.Response:
        """A response on a connection of its own."""
        headers = {"connection": "close", "x-api-key": key}
        return httpx.get(f"{self.url}{path}", trust_env=False, headers=headers, timeout=60)

    def post(self, path: str, key: str, body: object) -> httpx.Response:
        """A response to a JSON body, on a connection of its own."""
        headers = {"connection": "close", "x-api-key": key}
        return httpx.post(f"{self.url}{path}", json=body, trust_env=False, headers=headers, timeout=60)

    def ready(self) -> bool:
        with suppress(httpx.TransportError):
            return self.get("/readyz").status_code == 200
        return False

    def answers(self) -> bool:
        with suppress(httpx.TransportError):
            return self.get("/livez").status_code == 200
        return False

    def children(self, of: str = "") -> list[psutil.Process]:
        """The descendants whose command line contains `of`; remembers all of them."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.seen.update(found)
        named = []
        for one in found:
            with suppress(psutil.Error):
                if of in " ".join(one.cmdline()):
                    named.append(one)
        return named

    def apis(self) -> list[psutil.Process]:
        return self.children("serving.instance.api")

    def left(self) -> list[psutil.Process]:
        """What runs of all processes that were seen."""
        return [one for one in self.seen if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    def restart(self, *options: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run `leads restart`."""
        return run_leads(self.env | dict(env or {}), "restart", *options)

    def said(self) -> str:
        """What the command and its processes wrote."""
        logs = [self.output, *(self.settings.root / "logs").glob("*.log")]
        return "\n".join(f"--- {log.name}\n{log.read_text()[-3_000:]}" for log in logs if log.exists())


@contextmanager
def serving(settings: Settings, *options: str, **more: object) -> Iterator[Served]:
    """`leads serve` until the block ends, once it answers."""
    made = Served(settings, *options, **more)  # type: ignore[arg-type]
    try:
        until(lambda: made.answers() or made.process.poll() is not None, made.said)
        assert made.process.poll() is None, made.said()
        yield made
    finally:
        with suppress(psutil.Error):
            made.children()
        stop(made.process, grace_s=60)
        for process in made.left():
            process.kill()


def environment_of(settings: Settings) -> dict[str, str]:
    """Variables that give a command these settings, without a registry to follow and without monitoring."""
    env = {
        "LEADS_HOME": str(settings.root),
        "LEADS_MLFLOW_URI": "http://127.0.0.1:1",
        "LEADS_MONITOR": "off",
        # A follower that waits between attempts to reach it takes as long to end.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "LEADS_ONLINE_STORE": settings.online_store,
        "LEADS_RATE_LIMIT": "0",
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'clients' / 'python'}",
    }
    for name in ("database_url", "redis_url"):
        given = getattr(settings, name)
        if given is not None:
            env[f"LEADS_{name.upper()}"] = given.get_secret_value()
    return env


def run_leads(env: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-P", "-m", "cli", *words]
    return subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, timeout=_WAIT_S, check=False
    )


class Callers:
    """Threads that score and send events with the client's default retries.

    Args:
        per_s: requests per second of all threads together; None: as many as are answered.
    """

    def __init__(self, url: str, key: str, *, threads: int = 4, per_s: float | None = None) -> None:
        self._client = Client(url, key)
        self._every_s = threads / per_s if per_s else 0.0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]
        self.errors: list[Exception] = []
        # Ids of items whose acceptance was confirmed, and how many requests were answered.
        self.accepted: set[str] = set()
        self.answered = 0

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def _run(self, thread: int) -> None:
        began, n = time.monotonic(), 0
        while not self._ended.is_set():
            n += 1
            try:
                self._send(f"i{thread}-{n}", scores=n % 2 == 0)
            except Exception as error:
                self.errors.append(error)
            self.answered += 1
            if self._every_s:
                self._ended.wait(max(0.0, began + n * self._every_s - time.monotonic()))

    def _send(self, id_: str, *, scores: bool) -> None:
        if scores:
            found = self._client.score([subject("comment", id_, text=SPAM_TEXT)], ["spam"])
            assert found.results[0].scores
        else:
            # Some with an id of their own; the others are told apart by the client's Idempotency-Key.
            event_id = id_ if id_.endswith("5") else None
            sent = self._client.items([item("comment", id_, account_id="a1", text=SPAM_TEXT, event_id=event_id)])
            assert sent.accepted + sent.duplicates == 1
            self.accepted.add(id_)


def times_logged(engine: Engine) -> Counter[str]:
    """How many events the log has of each item."""
    with reading(engine) as connection:
        return Counter(connection.execute(sa.select(events.c.subject_id)).scalars())

"""`leads demo`: the whole loop, each step the very command a user would run, and the rest over HTTP.

Every step can be repeated without harm, so a demo that was killed goes on where it was: `demo.json` only saves the time
of repeating what is done.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.rule import Rule

from cli.ui.demo import decide_one, score_a_text, top_leads
from cli.ui.terminal import console, next_steps, note
from leads import clock
from leads.clock import Micros
from leads.db import event_log, keys
from leads.db.engine import open_engine, reading
from leads.errors import LeadsError, Unavailable
from leads.files import only_one, write_json
from leads.policies import load_policies
from leads.processes import QUIET, die_with_parent, python, start, stop
from leads.settings import Settings
from leads_client import Client

_READY_S = 180.0
KEY_NAME = "demo"


class State(msgspec.Struct):
    """What a demo has done. `end`, when its simulated time ends, is fixed at the first run for all later ones."""

    quick: bool
    end: Micros
    done: list[str] = []


class Demo:
    """One run. `leads` commands run as child processes, so each step is what it says."""

    def __init__(self, settings: Settings, *, quick: bool) -> None:
        self._settings = settings
        self._path = settings.root / "demo.json"
        self._started = time.monotonic()
        self._number = 0
        self.state = self._load(quick)
        self.simulation = settings.root / "simulation"

    def _load(self, quick: bool) -> State:
        if self._path.exists():
            state = msgspec.json.decode(self._path.read_bytes(), type=State)
            if state.quick == quick:
                return state
            raise LeadsError(
                f"An earlier demo in {self._settings.root} had another size.",
                field="--quick",
                remedy="Run it as before, or begin again: leads demo --fresh",
            )
        state = State(quick=quick, end=clock.now() // clock.HOUR * clock.HOUR)
        write_json(self._path, state)
        return state

    def step(self, title: str) -> None:
        self._number += 1
        seconds = time.monotonic() - self._started
        console.print(Rule(f"[bold]{self._number}[/bold]  {title}  [dim]{seconds:.0f} s[/dim]", align="left"))

    def command(
        self, name: str, title: str, *arguments: str, accept: tuple[int, ...] = (0,), again: bool = False
    ) -> None:
        """Run `leads …`, unless an earlier demo did."""
        self.step(title)
        if name in self.state.done and not again:
            note("  done by an earlier run")
            return
        shown = " ".join(arguments).replace(str(self._settings.root), self._short_root())
        console.print(f"  [dim]$ leads {shown}[/dim]", soft_wrap=True)
        child = subprocess.run(
            python("cli.app", *arguments),
            env={**os.environ, **QUIET, "LEADS_HOME": str(self._settings.root)},
            preexec_fn=die_with_parent,
            check=False,
        )
        if child.returncode not in accept:
            raise LeadsError(f"The step ended with exit code {child.returncode}.", remedy="See above; then: leads demo")
        if name not in self.state.done:
            self.state.done.append(name)
            write_json(self._path, self.state)

    def _short_root(self) -> str:
        try:
            return str(self._settings.root.relative_to(Path.cwd()))
        except ValueError:
            return str(self._settings.root)


def run(settings: Settings, *, quick: bool, fresh: bool) -> None:
    """Run the demo in the settings' home.

    Raises:
        LeadsError: a step failed; running it again goes on from there.
    """
    if fresh and settings.root.exists():
        with only_one(settings.root / "demo.lock", what="running the demo"):
            shutil.rmtree(settings.root)
    with only_one(settings.root / "demo.lock", what="running the demo"):
        demo = Demo(settings, quick=quick)
        _prepare(demo, quick)
        _serve_and_show(demo, settings)
        demo.command("drift", "Did the platform change?", "drift", "spam", "--quiet", accept=(0, 3), again=True)
        seconds = time.monotonic() - demo._started
        note(f"\n[bold green]The loop ran in {seconds:.0f} s.[/bold green] Everything is in {settings.root}.")
        _what_next(settings)


def _prepare(demo: Demo, quick: bool) -> None:
    size = ("--preset", "small") if quick else ("--accounts", "2000", "--days", "21")
    end = clock.to_text(demo.state.end)
    demo.command("simulate", "Simulate a platform", "simulate", *size, "--end", end, "--quiet")
    demo.command(
        "ingest", "Its history into the event log", "ingest", str(demo.simulation / "events-history.jsonl"), "-q"
    )
    demo.command("fold", "Events → features (Feast, point in time)", "worker", "--once", "--quiet")
    demo.command("train", "Labels + features → calibrated models (MLflow)", "train", "--all", "--quiet")
    change = str(demo.simulation / "events-change.jsonl")
    demo.command("change", "Two days later: a new campaign has started", "ingest", change, "-q")


def _serve_and_show(demo: Demo, settings: Settings) -> None:
    policies = load_policies(settings.policies)
    demo.step("Serve: follower, worker, HTTP (BentoML)")
    with _service(settings) as api:
        _wait_until_scored(settings)
        demo.step("The best leads, over HTTP")
        top_leads(api, policies)
        demo.step("A reviewer claims one and decides it, over HTTP")
        decide_one(api)
        demo.step("A text nobody has seen, over HTTP")
        score_a_text(api)


@contextmanager
def _service(settings: Settings) -> Iterator[Client]:
    """The service on a free port with a key of its own; both are gone afterwards."""
    port = _free_port()
    engine = open_engine(settings)
    for old in keys.listing(engine):
        if old.name == KEY_NAME and old.revoked_at is None:
            keys.revoke(engine, old.id)
    created = keys.create(engine, KEY_NAME, ("score", "leads:read", "leads:decide", "events:write"))
    env = {"LEADS_HOME": str(settings.root), "LEADS_POLICIES": str(settings.policies.resolve())}
    command = python("cli.app", "serve", "--port", str(port))
    service = start(command, env=env, log=settings.root / "logs" / "serve.log")
    try:
        url = f"http://127.0.0.1:{port}"
        with Client(url, created.text, timeout_s=30) as client:
            _wait_until_ready(client, url, service, settings)
            yield client
    finally:
        stop(service, grace_s=20)
        keys.revoke(engine, created.key.id)
        engine.dispose()


def _wait_until_ready(client: Client, url: str, service: subprocess.Popen[bytes], settings: Settings) -> None:
    began = time.monotonic()
    with console.status("starting"):
        while time.monotonic() - began < _READY_S:
            if service.poll() is not None:
                break
            if client.ready():
                note(f"  ready after {time.monotonic() - began:.0f} s on {url}")
                return
            time.sleep(0.2)
    raise Unavailable("The service did not become ready.", remedy=f"See the logs in {settings.root / 'logs'}.")


def _wait_until_scored(settings: Settings) -> None:
    """Until the worker has scored everything that is in the log now."""
    engine = open_engine(settings)
    began = time.monotonic()
    with console.status("scoring what the new events touched"):
        while time.monotonic() - began < _READY_S:
            with reading(engine) as connection:
                head = event_log.head(connection).offset
                scored = event_log.scored(connection, settings.partitions)
            if scored >= head:
                note(f"  every event up to {head:,} is folded and scored after {time.monotonic() - began:.0f} s")
                engine.dispose()
                return
            time.sleep(0.2)
    raise Unavailable("The worker did not catch up.", remedy=f"See {settings.root / 'logs' / 'worker.log'}.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _what_next(settings: Settings) -> None:
    reports = sorted((settings.reports_dir / "drift").rglob("*.html"), key=lambda path: path.stat().st_mtime)
    steps = [
        (f"mlflow ui --backend-store-uri {settings.mlflow}", "runs, metrics, plots, registered versions"),
        ("make serve", f"the service; API pages on http://{settings.host}:{settings.port}/v1/docs"),
        ("leads keys create me", "a key for it"),
        ("leads queue", "the ranked queue here"),
        ("leads skew --days 3", "was what was served what training would see?"),
        ("leads retrain spam --force", "train again with the decisions made since"),
    ]
    if reports:
        steps.insert(1, (f"xdg-open {reports[-1]}", "the drift report"))
    next_steps(*((_in_venv(command), what) for command, what in steps))


def _in_venv(command: str) -> str:
    """As it is typed from the project's folder, without activating the environment."""
    return f".venv/bin/{command}" if command.startswith(("mlflow ", "leads ")) else command

"""The demo: the whole loop, each step the very command a user would run, the rest over HTTP.

Repeating a step changes nothing, so a demo that was killed can resume; `demo.json` only saves time.
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

from cli.checks.places import mlflow_opens, mlflow_pages
from cli.demo_waits import wait_until_ready, wait_until_scored
from cli.ui.corpora import print_corpora
from cli.ui.database import opened
from cli.ui.demo import (
    acknowledge_queues,
    campaign_of,
    decide_one,
    score_a_text,
    show_decided,
    show_found,
    top_leads,
)
from cli.ui.terminal import console, escape, next_steps, note
from leads import clock
from leads.clock import Micros
from leads.db import keys
from leads.environment.addresses import url_of
from leads.errors import LeadsError
from leads.files import only_one, read_json, write_json
from leads.policies import load_policies
from leads.processes import QUIET, die_with_parent, python, start, stop
from leads.settings import Settings
from leads_client import Client
from simulation.history import load_manifest
from simulation.truth import found_by, read_truth

KEY_NAME = "demo"
# With the lead's id: what the demo's progress says once it has decided a lead.
_DECIDED = "decided "


class DemoProgress(msgspec.Struct):
    """What a demo has done. `end`, when its simulated time ends, is fixed at the first run for all later ones."""

    quick: bool
    end: Micros
    seed: int = 1
    done: list[str] = []


class Demo:
    """One run. `leads` commands run as child processes, so each step is what it says."""

    def __init__(self, settings: Settings, *, quick: bool, seed: int) -> None:
        self._settings = settings
        self._path = settings.root / "demo.json"
        self._started = time.monotonic()
        self._number = 0
        self.progress = self._load(quick, seed)
        self.simulation = settings.root / "simulation"

    @property
    def seconds(self) -> float:
        """Since the start of this run."""
        return time.monotonic() - self._started

    def _load(self, quick: bool, seed: int) -> DemoProgress:
        if self._path.exists():
            progress = read_json(self._path, DemoProgress, remedy="Start over: leads demo --fresh")
            if (progress.quick, progress.seed) == (quick, seed):
                return progress
            started = f"--seed {progress.seed}{' --quick' if progress.quick else ''}"
            raise LeadsError(
                f"{self._settings.root} has a demo that was started with {started}.",
                field="--quick" if progress.quick != quick else "--seed",
                remedy="Run the demo the same way again, or start over: leads demo --fresh",
            )
        progress = DemoProgress(quick=quick, seed=seed, end=clock.now() // clock.HOUR * clock.HOUR)
        write_json(self._path, progress)
        return progress

    def events(self, period: str) -> str:
        """The simulation's file of one period's events."""
        return str(self.simulation / f"events-{period}.jsonl")

    def step(self, title: str) -> None:
        """Print the heading of the next step."""
        self._number += 1
        console.print(Rule(f"[bold]{self._number}[/bold]  {title}  [dim]{self.seconds:.0f} s[/dim]", align="left"))

    def command(
        self, name: str, title: str, *arguments: str, accept: tuple[int, ...] = (0,), again: bool = False
    ) -> None:
        """Run `leads …`, unless an earlier run of the demo did.

        Args:
            accept: exit codes that are not errors.
            again: run it even if an earlier run of the demo did.
        """
        self.step(title)
        if name in self.progress.done and not again:
            note("  Done by an earlier run.")
            return
        shown = " ".join(arguments).replace(str(self._settings.root), self._short_root())
        console.print(f"  [dim]$ leads {escape(shown)}[/dim]", soft_wrap=True)
        child = subprocess.run(
            python("cli", *arguments),
            env={**os.environ, **QUIET, "LEADS_HOME": str(self._settings.root)},
            preexec_fn=die_with_parent,
            check=False,
        )
        if child.returncode not in accept:
            raise LeadsError(
                f"`leads {shown}` failed with exit code {child.returncode}.",
                remedy="Fix the error above, then resume: leads demo",
            )
        self.mark(name)

    def mark(self, name: str) -> None:
        """Remember that something was done, for later runs."""
        if name not in self.progress.done:
            self.progress.done.append(name)
            write_json(self._path, self.progress)

    def _short_root(self) -> str:
        try:
            return str(self._settings.root.relative_to(Path.cwd()))
        except ValueError:
            return str(self._settings.root)


def run(settings: Settings, *, quick: bool, seed: int, fresh: bool) -> None:
    """Run the demo in the settings' home.

    Raises:
        LeadsError: a step failed. The next run resumes there.
    """
    lock = settings.root / "demo.lock"
    if fresh and settings.root.exists():
        with only_one(lock, what="running the demo"):
            shutil.rmtree(settings.root)
    with only_one(lock, what="running the demo"):
        demo = Demo(settings, quick=quick, seed=seed)
        print_corpora(settings)
        _prepare(demo, settings, quick)
        _serve_and_show(demo, settings)
        _watch(demo, settings)
        home = escape(str(settings.root))
        note(f"\n[bold green]The demo is done, in {demo.seconds:.0f} s.[/bold green] Its data is in {home}.")
        _print_next(settings)


def _prepare(demo: Demo, settings: Settings, quick: bool) -> None:
    size = ("--preset", "small" if quick else "demo", "--seed", str(demo.progress.seed))
    end = clock.to_text(demo.progress.end)
    history, recent = demo.events("history"), demo.events("recent")
    demo.command("migrate", "Create the database", "migrate", "--quiet", again=True)
    demo.command("simulate", "Simulate a platform", "simulate", *size, "--end", end, "--quiet")
    demo.command("ingest", "Append its history to the event log", "ingest", history, "--quiet")
    demo.command("fold", "Compute features from the events (Feast)", "worker", "--once", "--quiet")
    demo.command("train", "Train calibrated models on labels and features (MLflow)", "train", "--all", "--quiet")
    demo.command("recent", "Append two more days, in which nothing changes", "ingest", recent, "--quiet")
    demo.command("score", "Score what the new events touched", "worker", "--once", "--quiet")
    demo.command("queue", "Show the best leads of one harm", "queue", "--harm", "stream_manipulation", "--limit", "8")
    demo.step("Compare the leads with the simulation's true labels")
    _compare_with_truth(demo, settings)
    demo.command(
        "change",
        "Two days later: streaming farms and spammers behave differently",
        "ingest",
        demo.events("change"),
        "--quiet",
    )


def _serve_and_show(demo: Demo, settings: Settings) -> None:
    policies = load_policies(settings.policies)
    demo.step("Start the service: follower, worker, HTTP API (BentoML)")
    with _service(settings) as api:
        wait_until_scored(settings)
        demo.step("Show the best leads, over HTTP")
        top_leads(api, policies)
        demo.step("Claim a lead and decide it, over HTTP")
        decided = next((name for name in demo.progress.done if name.startswith(_DECIDED)), None)
        if decided is None:
            demo.mark(_DECIDED + decide_one(api))
        else:
            show_decided(api, decided.removeprefix(_DECIDED))
        demo.step("Score a new text, over HTTP")
        score_a_text(api)


def _watch(demo: Demo, settings: Settings) -> None:
    """Let monitoring find what has changed, and show the alert about it."""
    # The simulated days end with a full hour, which is measured when it has settled.
    settle_s = load_policies(settings.policies).monitoring.settle_minutes * 60
    now = clock.to_text(demo.progress.end + round((settle_s + 60) * clock.SECOND))
    demo.command("monitor", "Let monitoring look at these days", "monitor", "run", "--now", now, "--quiet", again=True)
    alert = campaign_of(settings)
    if alert is None:
        note("  No alert is open.")
        return
    demo.step("Acknowledge that leads wait: nobody reviews in this demo")
    acknowledge_queues(settings)
    demo.command("alerts", "See what has changed", "alerts", "list", "--quiet", again=True)
    demo.command("alert", "See the alert about the campaign", "alerts", "show", str(alert.seq), "--quiet", again=True)


def _compare_with_truth(demo: Demo, settings: Settings) -> None:
    """Show precision and recall of the leads from the days on which the platform was as it was in training."""
    if "change" in demo.progress.done:
        note("  Done by an earlier run.")
        return
    trained_up_to = load_manifest(demo.simulation).periods[0].events
    harms = load_policies(settings.policies).harms
    with opened(settings) as engine:
        show_found(found_by(engine, read_truth(demo.simulation), harms, after=trained_up_to))


@contextmanager
def _service(settings: Settings) -> Iterator[Client]:
    """The service on a free port, with a key of its own; both are gone afterwards."""
    port = _free_port()
    with opened(settings) as engine:
        for old in keys.listing(engine):
            if old.name == KEY_NAME and old.revoked_at is None:
                keys.revoke(engine, old.id)
        created = keys.create(engine, KEY_NAME, ("score", "leads:read", "leads:decide", "act_as", "events:write"))
        env = {
            "LEADS_HOME": str(settings.root),
            "LEADS_POLICIES": str(settings.policies.resolve()),
            # A later step runs it.
            "LEADS_MONITOR": "off",
        }
        command = python("cli", "serve", "--host", "127.0.0.1", "--port", str(port))
        service = start(command, env=env, log=settings.root / "logs" / "serve.log")
        try:
            url = f"http://127.0.0.1:{port}"
            with Client(url, created.text, timeout_s=30) as client:
                wait_until_ready(client, url, service, settings)
                yield client
        finally:
            stop(service, grace_s=20)
            keys.revoke(engine, created.key.id)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _print_next(settings: Settings) -> None:
    alert, pages = campaign_of(settings), settings.reports_dir / "monitoring" / "index.html"
    steps = [] if alert is None else [(f"leads alerts show {alert.seq}", "read the alert and its runbook page")]
    if pages.exists():
        steps.append((f"xdg-open {pages}", "open the pages of monitoring"))
    workspace = settings.root / "evidently"
    if workspace.exists():
        steps.append((f"evidently ui --workspace {workspace}", "browse figures over time, on http://127.0.0.1:8000"))
    steps += [
        ("leads drift spam --explain", "rank what changed"),
        (mlflow_pages(settings), f"browse runs, metrics, plots and model versions{mlflow_opens(settings)}"),
        ("leads serve", f"run the service; API reference on {url_of(settings.host, settings.port, '/v1/docs')}"),
        ("leads keys create NAME", "create an API key for it"),
        ("leads queue", "show the ranked leads"),
        ("leads skew --days 3", "check for training-serving skew"),
        ("leads retrain spam --force", "retrain with the new decisions"),
    ]
    next_steps(*((_in_venv(command), what) for command, what in steps))


def _in_venv(command: str) -> str:
    """The command as it is typed in the project's folder, without activating the environment."""
    return f".venv/bin/{command}" if command.startswith(("mlflow ", "leads ", "evidently ")) else command

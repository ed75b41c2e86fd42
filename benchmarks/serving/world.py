"""What is served: a simulated platform, its features on both stores and a trained version per harm."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.serving.systems.servers import environment
from benchmarks.serving.versions import register_variant
from leads import clock
from leads.db import keys
from leads.db.engine import open_engine
from leads.errors import Unavailable
from leads.policies import load_policies
from leads.processes import QUIET, die_with_parent, start, stop
from leads.settings import Settings, load_settings
from models.registry.registry import Registry
from serving.versions.published_state import read_state

console = Console()
HARMS = ("spam", "identity_hate", "sexism", "harassment")
_PUBLISH_S = 90.0
_TAIL = 3_000


@dataclass(frozen=True)
class World:
    """One home per online store, with equal content.

    Args:
        ids: of the comments that are known.
        key: an API key of both.
    """

    redis: Settings
    sqlite: Settings
    ids: tuple[str, ...]
    key: str

    def draw(self, n: int, chance: random.Random) -> list[str]:
        """`n` different known ids."""
        return chance.sample(self.ids, n)


def make_world(on_redis: Settings, folder: Path, log: Path) -> World:
    """Simulate, fold, train and publish on Redis, then fold the same log on SQLite. Takes about a minute.

    Raises:
        Unavailable: a step failed; with the end of its log.
    """
    leads = _commands(on_redis, log)
    end = clock.to_text(clock.now() // clock.HOUR * clock.HOUR)
    leads("simulate a platform", "simulate", "--preset", "small", "--end", end, "--quiet")
    for part in ("history", "change"):
        events = str(on_redis.root / "simulation" / f"events-{part}.jsonl")
        leads(f"append its {part} to the event log", "ingest", events, "--quiet")
    leads("fold it into features on Redis", "worker", "--once", "--quiet")
    leads("train every harm", "train", "--all", "--quiet")
    _step("give harms without labels a version", lambda: _complete(on_redis, folder))
    # Without a registry the worker only folds; it would score everything with the versions it finds.
    left_out = shutil.ignore_patterns("features", "predictions", "simulation", "mlflow.db*", "mlartifacts", "*.lock")
    on_sqlite = load_settings(home=folder / "sqlite", corpora=on_redis.corpora, online_store="sqlite")
    engine = open_engine(on_redis)
    key = keys.create(engine, "benchmark", ("score", "admin"), rate=0).text
    engine.dispose()
    shutil.copytree(on_redis.root, on_sqlite.root, ignore=left_out)
    _commands(on_sqlite, log)("fold the same log on SQLite", "worker", "--rebuild", "--once", "--quiet")
    _step("publish the versions", lambda: publish(on_redis, log))
    shutil.copytree(on_redis.published_dir, on_sqlite.published_dir)
    return World(on_redis, on_sqlite, _comments(on_redis), key)


def _complete(settings: Settings, folder: Path) -> None:
    """A harm without labels of its own gets a copy of harassment's version, so that there is something to serve."""
    registry = Registry(settings)
    for number, harm in enumerate(HARMS):
        if not registry.aliases(harm):
            version = register_variant(settings, "harassment", folder, number, harm=harm)
            registry.set_alias(harm, "champion", version)


def publish(settings: Settings, log: Path) -> None:
    """Let a follower run until the champion of every harm is proven and published."""
    wanted = set(load_policies(settings.policies).harms)
    child = start([sys.executable, "-m", "serving.versions.follower"], env=environment(settings), log=log)
    try:
        deadline = time.monotonic() + _PUBLISH_S
        while time.monotonic() < deadline and child.poll() is None:
            state = read_state(settings.published_dir)
            if {harm for harm, one in state.harms.items() if one.champion} == wanted:
                return
            time.sleep(0.1)
    finally:
        stop(child)
    raise Unavailable(f"Not every harm was published:\n{_tail(log)}", remedy="See the log above.")


def _commands(settings: Settings, log: Path) -> Callable[..., None]:
    """`leads …` in this home, as a function of a title and the arguments."""

    def run(*arguments: str) -> None:
        with log.open("ab") as out:
            done = subprocess.run(
                [sys.executable, "-P", "-m", "cli", *arguments],
                env={**os.environ, **QUIET, **environment(settings)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
                check=False,
            )
        if done.returncode:
            raise Unavailable(f"leads {arguments[0]} ended with {done.returncode}:\n{_tail(log)}")

    return lambda title, *arguments: _step(title, lambda: run(*arguments))


def _step(title: str, work: Callable[[], None]) -> None:
    began = time.monotonic()
    work()
    console.print(f"  [dim]{time.monotonic() - began:5.1f} s[/dim]  {title}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-_TAIL:]


def _comments(settings: Settings) -> tuple[str, ...]:
    query = "SELECT DISTINCT subject_id FROM events WHERE type_id = 'comment' AND kind = 'item_created' ORDER BY 1"
    with closing(sqlite3.connect(settings.root / "leads.db")) as connection:
        return tuple(one for (one,) in connection.execute(query))

"""What is served: a simulated platform, its features on both stores, and a trained version per harm.

Everything about it is fixed, so that each run serves the same: the simulation's seed and its last instant, the texts
(the simulation's own templates, never the corpora), and which versions answer. The service keeps its own clock: no rule
in the policies depends on the age of a feature row, and scoring takes as long on old rows as on new ones.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.homes import sqlite_settings
from benchmarks.report import console
from benchmarks.serving.servers import follower, run, tail
from benchmarks.serving.versions import set_champions
from leads import clock
from leads.db import keys
from leads.db.engine import open_engine
from leads.errors import Unavailable
from leads.policies import load_policies
from leads.settings import Settings, load_settings
from serving.versions.published_state import read_state

HARMS = ("spam", "identity_hate", "sexism", "harassment")
SEED = 1
END = clock.from_text("2025-01-18T00:00:00Z")
_PUBLISH_S = 90.0


@dataclass(frozen=True)
class ServedWorld:
    """Homes with the same content.

    Args:
        redis, sqlite: with an event log on SQLite, one per online store.
        production: with an event log on PostgreSQL and the same rows on Redis.
        ids: of the comments that the platform knows.
        key: an API key that the homes with SQLite accept.
        production_key: one for the home with PostgreSQL.
    """

    redis: Settings
    sqlite: Settings
    production: Settings
    ids: tuple[str, ...]
    key: str
    production_key: str

    def draw(self, n: int, chance: random.Random) -> list[str]:
        """`n` different known ids."""
        return chance.sample(self.ids, n)


def make_world(on_redis: Settings, database_url: str, folder: Path, log: Path) -> ServedWorld:
    """Simulate, fold, train and publish on Redis, then fold the same log on SQLite. Takes about two minutes.

    Args:
        database_url: of an empty PostgreSQL database.

    Raises:
        Unavailable: a step failed; shows the end of its log.
    """
    make_champions(on_redis, folder, log)
    # Neither the registry nor its versions: with them, the worker would also score everything.
    left_out = shutil.ignore_patterns(
        "features", "predictions", "published", "simulation", "mlflow.db*", "mlartifacts", "*.lock"
    )
    on_sqlite = sqlite_settings(folder / "sqlite")
    key = new_key(on_redis)
    shutil.copytree(on_redis.root, on_sqlite.root, ignore=left_out)
    _commands(on_sqlite, log)("fold the same log on SQLite", "worker", "--rebuild", "--once", "--quiet")
    # Not a copy of the settings with another home: a copy also keeps the folder that was computed from the first one.
    production = load_settings(
        home=folder / "production",
        corpora="none",
        online_store="redis",
        redis_url=on_redis.redis_url,
        database_url=database_url,
    )
    on_postgresql = _commands(production, log)
    on_postgresql("make the tables on PostgreSQL", "migrate")
    for part in ("history", "change"):
        events = str(on_redis.root / "simulation" / f"events-{part}.jsonl")
        on_postgresql(f"append the {part} there", "ingest", events, "--quiet")
    for settings in (on_sqlite, production):
        shutil.copytree(on_redis.published_dir, settings.published_dir)
    return ServedWorld(on_redis, on_sqlite, production, comments(on_redis), key, new_key(production))


def make_champions(settings: Settings, folder: Path, log: Path) -> None:
    """Simulate a platform in this home, fold it, train, and publish a champion of every harm.

    Raises:
        Unavailable: a step failed; shows the end of its log.
    """
    leads = _commands(settings, log)
    history = ("--preset", "small", "--seed", str(SEED), "--end", clock.to_text(END))
    leads("simulate a platform", "simulate", *history, "--quiet")
    for part in ("history", "change"):
        events = str(settings.root / "simulation" / f"events-{part}.jsonl")
        leads(f"append its {part} to the event log", "ingest", events, "--quiet")
    leads("fold it into features", "worker", "--once", "--quiet")
    leads("train a version of every harm with labels", "train", "--all", "--quiet")
    harms = tuple(load_policies(settings.policies).harms)
    _step("set every harm's champion", lambda: set_champions(settings, harms, folder))
    _step("publish the versions", lambda: publish(settings))


def new_key(settings: Settings) -> str:
    """A new API key."""
    engine = open_engine(settings)
    key = keys.create(engine, "benchmark", ("score", "admin"), rate=0).text
    engine.dispose()
    return key


def publish(settings: Settings) -> None:
    """Run a follower until it has published the champion of every harm.

    Raises:
        Unavailable: it ended or took too long; shows the end of its log.
    """
    missing = set(load_policies(settings.policies).harms)
    with follower(settings) as child:
        deadline = time.monotonic() + _PUBLISH_S
        while missing and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.1)
            missing -= {harm for harm, one in read_state(settings.published_dir).harms.items() if one.champion}
    if missing:
        log = tail(settings.root / "logs" / "follower.log")
        raise Unavailable(f"No version was published of {', '.join(sorted(missing))}. The end of the log:\n{log}")


def _commands(settings: Settings, log: Path) -> Callable[..., None]:
    """`leads …` in this home, as a function of a title and the arguments."""
    return lambda title, *words: _step(title, lambda: run(settings, log, *words))


def _step(title: str, work: Callable[[], None]) -> None:
    began = time.monotonic()
    work()
    console.print(f"  [dim]{time.monotonic() - began:5.1f} s[/dim]  {title}")


def comments(settings: Settings) -> tuple[str, ...]:
    query = "SELECT DISTINCT subject_id FROM events WHERE type_id = 'comment' AND kind = 'item_created' ORDER BY 1"
    with closing(sqlite3.connect(settings.root / "leads.db")) as connection:
        return tuple(one for (one,) in connection.execute(query))

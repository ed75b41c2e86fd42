"""`leads features apply` beside a service that scores: killed ten times, no request fails and no score changes.

A platform is simulated and a version trained on it. Then events are added until the log has as many as asked for, some
of them of declared kinds. A worker and an API process run; requests come at a constant rate. Meanwhile the features of
`PLATFORM` are applied: the command is killed with SIGKILL at ten moments spread over the log, and started again each
time. The same is done in a copy of the home, undisturbed.
"""

from __future__ import annotations

import http.client
import json
import random
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from benchmarks.features.samples import bodies
from benchmarks.homes import sqlite_settings
from benchmarks.report import Measure, at_least, at_most
from benchmarks.serving.servers import command, our_service, run, tail, wait_until_ready
from benchmarks.serving.world import END, make_champions
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.generations import coming_generation, live, progress
from features.evaluate.columns import evaluate
from features.online.reader import OnlineReader
from features.online.stores import open_online_store
from features.partition import WHOLE
from features.state.store import StateStore
from features.state_stores import open_state
from leads import clock
from leads.db import event_log, keys
from leads.db.engine import open_engine, reading
from leads.errors import Unavailable
from leads.events import Body, Happened, RecordedEvent, Subject, SubjectRef
from leads.settings import Settings
from models.version import load

KILLS, RATE, SENDERS = 10, 200, 8
PLATFORM = """
features:
  account.follows_24h: {count: follow, window: 24h, meaning: follows in 24 hours}
  account.follows_7d: {count: follow, window: 7d, meaning: follows in 7 days}
  account.followers_7d: {distinct: follow.who, by: about, window: 7d, meaning: new followers in 7 days}
  account.follow_rate: {formula: account.follows_7d / (account.plays_7d + 1), unit: ratio, meaning: follows per play}
"""


def applying(folder: Path, quick: bool) -> list[Measure]:
    """Everything that has to hold while features are applied, and how long it takes."""
    settings = sqlite_settings(folder / "home")
    log = folder / "world.log"
    make_champions(settings, folder, log)
    size = _fill(settings, 60_000 if quick else 1_000_000)
    run(settings, log, "worker", "--once", "--quiet")
    platform = folder / "platform.yaml"
    packaged = Path(sys.modules["leads"].__path__[0]) / "platform.yaml"
    platform.write_text(packaged.read_text() + PLATFORM)
    copy = sqlite_settings(folder / "copy")
    shutil.copytree(settings.root, copy.root, ignore=shutil.ignore_patterns("mlflow.db*", "mlartifacts", "*.lock"))

    with _serving(settings, log) as port, _Load(settings, port) as load_:
        began = time.monotonic()
        kills = _apply_with_kills(settings, platform, log, size)
        seconds = time.monotonic() - began
    engine = open_engine(settings)
    features = live(engine)
    engine.dispose()
    run(copy, log, "features", "apply", "--quiet", LEADS_PLATFORM=str(platform))
    return [
        Measure(f"apply to {size:,} events, killed {kills} times", seconds, "s"),
        at_least("apply: SIGKILLs", kills, "", KILLS),
        at_least("apply: requests meanwhile", load_.sent / load_.seconds, "requests/s", 0.95 * RATE),
        at_most("apply: failed requests", load_.failed, "", 0),
        at_most("apply: changed scores of an untouched version", _changed(settings, features), "", 0),
        at_most("apply: rows that differ from an undisturbed run", _differing(settings, copy, features), "", 0),
    ]


def _fill(settings: Settings, size: int) -> int:
    """Append events after the simulation's, up to this many in all; returns how many there are."""
    engine = open_engine(settings)
    with reading(engine) as connection:
        before = event_log.head(connection).offset
    rng = random.Random(1)
    n = max(size - before, 1_000)
    step = clock.DAY * 7 // n
    made: Sequence[Body] = bodies(min(n, 50_000))
    for start in range(0, n, 20_000):
        events = [_event(i, END + i * step, made, rng) for i in range(start, min(start + 20_000, n))]
        with engine.begin() as connection:
            event_log.append_recorded(connection, "benchmark", events)
    with reading(engine) as connection:
        size = event_log.head(connection).offset
    engine.dispose()
    return size


def _event(i: int, at: int, made: Sequence[Body], rng: random.Random) -> RecordedEvent:
    if i % 5:
        return RecordedEvent(f"b{i}", at, at, made[i % len(made)])
    about = SubjectRef("account", f"a{rng.randrange(5_000)}")
    return RecordedEvent(f"b{i}", at, at, Happened(about, "follow", f"a{rng.randrange(5_000)}"))


def _apply_with_kills(settings: Settings, platform: Path, log: Path, size: int) -> int:
    """Run `leads features apply` until it is done, killing it `KILLS` times on the way."""
    engine = open_engine(settings)
    kills = 0
    try:
        while True:
            with command(settings, log, "features", "apply", "--quiet", LEADS_PLATFORM=str(platform)) as child:
                # Spread over the log; the last one while the rows are written online.
                until = size * (kills + 1) // (KILLS + 1) if kills < KILLS - 1 else size
                while kills < KILLS and child.poll() is None and _built(engine) < until:
                    time.sleep(0.01)
                if kills < KILLS and child.poll() is None:
                    child.kill()
                    child.wait()
                    kills += 1
                    continue
                if child.wait():
                    raise Unavailable(f"`leads features apply` failed. The end of its log:\n{tail(log)}")
                return kills
    finally:
        engine.dispose()


def _built(engine: sa.Engine) -> int:
    with reading(engine) as connection:
        coming = coming_generation(connection)
        return max((one.offset for one in progress(connection, coming.number)), default=0) if coming else 0


@contextmanager
def _serving(settings: Settings, log: Path) -> Iterator[int]:
    with our_service("serve", settings) as server, command(settings, log, "worker"):
        wait_until_ready(server, "/readyz")
        yield server.port


class _Load:
    """Scores comments over HTTP at a constant rate, from a few threads, while it is open."""

    def __init__(self, settings: Settings, port: int) -> None:
        engine = open_engine(settings)
        self._key = keys.create(engine, "apply", ("score",), rate=0).text
        engine.dispose()
        self._port = port
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.sent = self.failed = 0
        self.seconds = 0.0

    def __enter__(self) -> _Load:
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._send, args=(i,)) for i in range(SENDERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self.seconds = time.monotonic() - self._began

    def _send(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        headers = {"x-api-key": self._key, "content-type": "application/json"}
        due = self._began + number / RATE
        while not self._ended.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            due += SENDERS / RATE
            subject = {"id": f"a{self.sent % 5_000}", "typeId": "account"}
            body = {"subjects": [subject, {"id": "new", "typeId": "comment", "data": {"text": "cheap followers"}}]}
            try:
                connection.request("POST", "/v1/score", json.dumps(body), headers)
                answer = connection.getresponse()
                answer.read()
                bad = answer.status != 200
            except (OSError, http.client.HTTPException):
                bad = True
                connection.close()
            with self._lock:
                self.sent += 1
                self.failed += bad


def _changed(settings: Settings, features: FeatureSet) -> float:
    """How many scores of a version that uses no declared feature differ between the old rows and the new ones."""
    (folder,) = (settings.published_dir / "spam").glob("[0-9]*")
    version = load(folder)
    subjects = [Subject("account", f"a{i}") for i in range(5_000)] + [Subject("comment", f"c{i}") for i in range(5_000)]
    as_of = np.full(len(subjects), END + 8 * clock.DAY)
    texts = ["cheap followers for you"] * len(subjects)
    found = []
    for one in (BUILTIN, features):
        with closing(OnlineReader(open_online_store(settings), one)) as reader:
            rows = reader.fetch(subjects)
        matrix = evaluate(version.contract, rows.packed, as_of, texts, one).matrix
        found.append(version.score(matrix, texts).score)
    return float((found[0] != found[1]).sum())


def _differing(settings: Settings, other: Settings, features: FeatureSet) -> float:
    """How many entities' rows in the states of two homes differ."""
    with (
        closing(open_state(settings, WHOLE, features, owner="benchmark")) as one,
        closing(open_state(other, WHOLE, features, owner="benchmark")) as two,
    ):
        return float(sum(_differing_in(one, two, layout.view) for layout in features.layouts))


def _differing_in(one: StateStore, two: StateStore, view: str) -> int:
    found = [{key: row for rows in store.scan(view) for key, row in rows.items()} for store in (one, two)]
    first, second = found
    return sum(first.get(key) != second.get(key) for key in first.keys() | second.keys())

"""From events to feature rows: the fold alone, the log into the online store, and how soon an event can be read."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from sqlalchemy.engine import Engine

from benchmarks.features.samples import START, bodies
from benchmarks.report import Measure, at_least, at_most
from benchmarks.timing import timed
from features.contract import Column, FeatureContract
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import evaluate
from features.fold.fold import Fold
from features.materialize import Materializer
from features.online.reader import OnlineReader
from features.online.stores import open_online_store
from features.state.sqlite import SqliteState
from leads import clock
from leads.db import event_log
from leads.db.engine import open_engine
from leads.events import Body, Event, Happened, ItemCreated, LoggedEvent, RecordedEvent, Subject, SubjectRef
from leads.settings import Settings

RATE, SENT_EACH_S = 300, 0.05
_READ = 5_000


def folding(quick: bool) -> list[Measure]:
    """The fold alone, in one thread; the median of several runs over the same events."""
    made = bodies(20_000 if quick else 60_000)
    logged = [
        LoggedEvent(i + 1, START + i * clock.SECOND, Event(f"e{i}", START + i * clock.SECOND, body))
        for i, body in enumerate(made)
    ]
    rates = []
    for _ in range(3 if quick else 5):
        fold = Fold(SqliteState(), BUILTIN)
        rates.append(len(logged) / timed(lambda fold=fold: _fold(fold, logged)))  # type: ignore[misc]
    return [at_least("fold, one core", statistics.median(rates), "events/s", 30_000)]


def _fold(fold: Fold, logged: Sequence[LoggedEvent]) -> None:
    """In batches, as the worker reads them."""
    for start in range(0, len(logged), _READ):
        fold.apply(logged[start : start + _READ])


def sustained(settings: Settings, name: str, quick: bool) -> list[Measure]:
    """A stored log into segments and the online store, hour by hour, as the worker does it."""
    n = 5_000 if quick else 30_000
    engine = open_engine(settings)
    history = [
        RecordedEvent(f"e{i}", at := START + i * 20 * clock.SECOND, at, body) for i, body in enumerate(bodies(n))
    ]
    with engine.begin() as connection:
        event_log.append_recorded(connection, "benchmark", history)
    materializer = Materializer(settings, engine)
    used = time.process_time()
    began = time.perf_counter()
    while materializer.step(by=clock.HOUR).events:
        materializer.save()
    materializer.flush()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    engine.dispose()
    return [
        at_least(f"{name}: log → online, sustained", n / seconds, "events/s", 500),
        Measure(f"{name}: cores used meanwhile", cpu / seconds, "cores"),
    ]


def visible(settings: Settings, name: str, quick: bool, features: FeatureSet = BUILTIN) -> list[Measure]:
    """How long after its append the online reader returns an event, at 300 events/s.

    Args:
        features: with declared ones, the event that is waited for is one of a declared kind that they count.
    """
    engine = open_engine(settings)
    materializer = Materializer(settings, engine, features=features)
    probe = _ITEM if features is BUILTIN else _FOLLOW
    watched: list[tuple[str, float]] = []
    delays: list[float] = []
    ended = threading.Event()
    try:
        with _in_background(
            ended, lambda: _tail(materializer, ended), lambda: _watch(settings, probe, features, watched, delays, ended)
        ) as errors:
            sent = _send(engine, probe, watched, 5.0 if quick else 20.0)
            deadline = time.monotonic() + 10
            while len(delays) < len(watched) and not errors and time.monotonic() < deadline:
                time.sleep(0.05)
    finally:
        engine.dispose()
    missed = len(watched) - len(delays)
    return [
        Measure(f"{name}: events sent", sent, "events/s"),
        Measure(f"{name}: accepted → visible, p50", float(np.percentile(delays, 50)), "s"),
        at_most(f"{name}: accepted → visible, p99", float(np.percentile(delays, 99)), "s", 1.0),
        at_most(f"{name}: accepted and never visible", missed, "events", 0),
    ]


@contextmanager
def _in_background(ended: threading.Event, *works: Callable[[], None]) -> Iterator[list[Exception]]:
    """Do each work in a thread while the block runs; at its end, set `ended` and wait for them.

    Yields:
        The errors of the threads so far; the first one is raised at the end of the block.
    """
    errors: list[Exception] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield errors
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


class _Probe(NamedTuple):
    """An event that is waited for: what it is, and the type and the feature of its subject that shows it."""

    body: Callable[[str], Body]
    type_id: str
    column: str


_ITEM = _Probe(
    lambda id_: ItemCreated(SubjectRef("comment", id_), account_id="a1", text="to be seen"), "comment", "item.versions"
)
_FOLLOW = _Probe(lambda id_: Happened(SubjectRef("account", id_), "follow", id_), "account", "account.declared_0")


def _send(engine: Engine, probe: _Probe, watched: list[tuple[str, float]], seconds: float) -> float:
    """Append events at the rate; one event of each batch is watched. Returns the rate that was reached."""
    size = int(RATE * SENT_EACH_S)
    made = bodies(int(RATE * seconds))
    began = time.perf_counter()
    for start in range(0, len(made), size):
        time.sleep(max(0.0, began + start / RATE - time.perf_counter()))
        now = clock.now()
        id_ = f"{probe.column}-{start}"
        sent = [probe.body(id_), *made[start + 1 : start + size]]
        new = [Event(f"live-{probe.type_id}-{start + i}", now, body) for i, body in enumerate(sent)]
        with engine.begin() as connection:
            event_log.append(connection, "benchmark", new)
        watched.append((id_, time.perf_counter()))
    return len(made) / (time.perf_counter() - began)


def _tail(materializer: Materializer, ended: threading.Event) -> None:
    while not ended.is_set():
        if not materializer.step().events:
            time.sleep(0.05)
        materializer.save()


def _watch(
    settings: Settings,
    probe: _Probe,
    features: FeatureSet,
    watched: list[tuple[str, float]],
    delays: list[float],
    ended: threading.Event,
) -> None:
    reader = OnlineReader(open_online_store(settings), features)
    contract = FeatureContract("probe", (Column(probe.column),), "")
    while not ended.is_set():
        pending = watched[len(delays) : len(delays) + 50]
        if pending:
            rows = reader.fetch([Subject(probe.type_id, id_) for id_, _ in pending]).packed
            now, texts = np.full(len(pending), clock.now()), [None] * len(pending)
            values = evaluate(contract, rows, now, texts, features).matrix[:, 0]
            seen = time.perf_counter()
            for (_, accepted), value in zip(pending, values, strict=True):
                if value != 1:
                    break
                delays.append(seen - accepted)
        time.sleep(0.005)
    reader.close()

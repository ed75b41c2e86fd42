"""The event log at growing sizes: appending, folding into segments and online rows, and starting again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.homes import sqlite_settings
from benchmarks.report import REPOSITORY, Measure, at_least, at_most, say
from benchmarks.scale.growth import exponent
from leads import clock
from leads.db import event_log
from leads.db.engine import open_engine
from leads.events import DecisionMade, ItemCreated, Played, RecordedEvent, SignalReceived, SubjectRef
from leads.settings import Settings

_SIZES, _FEWER = (125_000, 1_250_000, 12_500_000), (12_500, 40_000, 125_000)
_START = clock.from_text("2026-01-01T00:00:00Z")
# However many events there are, they span the same time: a larger log is that of a larger platform.
_SPAN = 60 * clock.DAY
_PER_APPEND = 5_000
_MOST_MB, _MOST_START_S, _LEAST_RATE, _MOST_EXPONENT = 1_024, 5.0, 12_000, 0.1


def on_sqlite(quick: bool) -> list[Measure]:
    """Each cost at each size, in a home of its own."""
    found: list[Measure] = []
    seconds: dict[int, float] = {}
    memory: dict[int, float] = {}
    for size in _FEWER if quick else _SIZES:
        with tempfile.TemporaryDirectory() as folder:
            settings = sqlite_settings(Path(folder))
            appended = _append(settings, size)
            say(f"{size:,} events: folding")
            first, again = _fold(settings), _fold(settings)
            used = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        seconds[size], memory[size] = first["fold_s"] / size, first["memory_mb"]
        found += [
            Measure(f"{size:,} events: appended", size / appended, "events/s"),
            at_least(f"{size:,} events: folded", size / first["fold_s"], "events/s", _LEAST_RATE),
            at_most(f"{size:,} events: anonymous memory while folding", memory[size], "MB", _MOST_MB),
            at_most(f"{size:,} events: start again", again["start_s"], "s", _MOST_START_S),
            Measure(f"{size:,} events: disk", used / size, "bytes/event"),
        ]
    sizes = sorted(memory)
    found += [
        at_most("cost of folding an event, exponent", exponent(seconds), "", _MOST_EXPONENT),
        at_most("memory while folding, ratio of the last two sizes", memory[sizes[-1]] / memory[sizes[-2]], "", 1.1),
    ]
    return found


def _append(settings: Settings, size: int) -> float:
    """Append a history to the log; returns the seconds it took."""
    engine = open_engine(settings)
    events, done = _history(size), 0
    began = time.perf_counter()
    while part := list(islice(events, _PER_APPEND)):
        with engine.begin() as connection:
            event_log.append_recorded(connection, "benchmark", part)
        done += len(part)
        if done % 250_000 == 0:
            say(f"{size:,} events: {done:,} appended")
    engine.dispose()
    return time.perf_counter() - began


def _history(size: int) -> Iterator[RecordedEvent]:
    """Plays, comments, reports and decisions, by as many accounts and about as many tracks as fit the size."""
    rng = np.random.default_rng(4)
    accounts, tracks, step = max(size // 60, 100), max(size // 250, 50), _SPAN / size
    for start in range(0, size, 100_000):
        n = min(100_000, size - start)
        # A few accounts and tracks have most of the events, as on a real platform.
        who = (accounts * rng.random(n) ** 2).astype(int)
        what = (tracks * rng.random(n) ** 3).astype(int)
        draws = zip(rng.random(n).tolist(), who.tolist(), what.tolist(), strict=True)
        for i, (kind, account, track) in enumerate(draws, start):
            at = _START + int(i * step)
            yield RecordedEvent(f"e{i}", at, at, _body(i, kind, account, track))


def _body(i: int, kind: float, account: int, track: int) -> Played | ItemCreated | SignalReceived | DecisionMade:
    earlier = SubjectRef("comment", f"c{max(0, i - 7 * (track % 100))}")
    if kind < 0.1:
        text = f"I have been listening to number {track} all day, what a song"
        return ItemCreated(SubjectRef("comment", f"c{i}"), f"a{account}", SubjectRef("track", f"t{track}"), text)
    if kind < 0.14:
        return SignalReceived(earlier, "user_report", "app", reporter_id=f"a{account}")
    if kind < 0.15:
        return DecisionMade(earlier, "spam", "violating" if account % 2 else "not_violating", "human", "rev-1")
    return Played(SubjectRef("track", f"t{track}"), f"a{account}", 33.0, f"d{account * 5 // 6}")


def _fold(settings: Settings) -> dict[str, float]:
    env = {**os.environ, "LEADS_HOME": str(settings.root), "LEADS_CORPORA": "none"}
    command = [sys.executable, "-m", "benchmarks.scale.folding"]
    done = subprocess.run(command, env=env, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result

"""Stores with millions of items, written straight into them, because folding that many events would take hours.

The rows and what the router knows are those of a small log that was folded; only their keys are new. The stores are
filled in the order of the keys, so their pages are fuller than after updates in random order.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.homes import sqlite_settings
from benchmarks.own_process import run_json
from benchmarks.report import Measure, at_most, say
from benchmarks.scale import events
from benchmarks.scale.growth import exponent, p50_ms
from benchmarks.scale.history import FOLDING
from features.declared.builtin import BUILTIN, ITEM
from features.layout import visible_at
from features.online.reader import open_reader
from features.online.writer import OnlineWriter
from features.partition import WHOLE
from features.rows import unpack
from features.state.fence import new_owner
from features.state.store import StateStore
from features.state_stores import open_state
from leads.clock import Micros
from leads.events import Subject
from leads.settings import Settings

_SIZES, _FEWER = (100_000, 1_000_000, 10_000_000), (10_000, 100_000)
_NEW, _FEWER_NEW = 100_000, 20_000
_SMALL_LOG = 20_000
_AT_ONCE, _SAID = 50_000, 500_000
_READ, _REPEATS = 100, 50
_MOST_MB, _MOST_START_S, _MOST_EXPONENT = 1_024, 5.0, 0.1


class Sample(NamedTuple):
    """An item of the small log: its row, when that became visible, and what the router knows about it, if anything."""

    row: bytes
    at: Micros
    routed: bytes | None


def on_sqlite(quick: bool) -> list[Measure]:
    """Each cost at each number of items, in a home of its own."""
    by_size: dict[int, dict[str, float]] = {}
    sizes, new = (_FEWER, _FEWER_NEW) if quick else (_SIZES, _NEW)
    least = min(sizes)
    for size in sizes:
        with tempfile.TemporaryDirectory() as home:
            by_size[size] = _costs(sqlite_settings(Path(home)), size, new, touched=least)
    found: list[Measure] = []
    for size, costs in by_size.items():
        found += _measures(f"{size:,} items", costs)
        if size != least:
            ratio = costs["fold_s"] / by_size[least]["fold_s"]
            found.append(Measure(f"{size:,} items: cost of an event / that with {least:,} items", ratio, "ratio"))
    growth = exponent({size: costs["fold_s"] for size, costs in by_size.items()})
    name = "generated items: cost of folding an event, exponent"
    # With so few items, much of a store is in the caches in front of it.
    return [*found, Measure(name, growth, "") if quick else at_most(name, growth, "", _MOST_EXPONENT)]


def _costs(settings: Settings, size: int, new: int, *, touched: int) -> dict[str, float]:
    name = f"{size:,} items"
    events.append(settings, events.history(_SMALL_LOG), name)
    run_json(settings, FOLDING, "fold")
    before = _bytes(settings)
    began = time.perf_counter()
    fill(settings, size)
    filled = time.perf_counter() - began
    after = _bytes(settings)
    say(f"{name}: folding {new:,} events about them")
    events.append(settings, events.about(size, new, events.END, touched=touched), name)
    folded, again = run_json(settings, FOLDING, "fold"), run_json(settings, FOLDING, "fold")
    return {
        "fill_s": filled / size,
        "fold_s": folded["s"] / new,
        "fold_mb": folded["memory_mb"],
        "start_s": again["start_s"],
        "state": (after["state"] - before["state"]) / size,
        "online": (after["online"] - before["online"]) / size,
        "read_ms": _read_ms(settings, size),
    }


def fill(settings: Settings, size: int) -> None:
    """Add this many items to the state and to the online store. The position of the state stays the same."""
    online = OnlineWriter(settings)
    with closing(open_state(settings, WHOLE, BUILTIN, owner=new_owner())) as state:
        comments, tracks = _samples(state)
        items = _items(size, comments, tracks)
        done = 0
        while part := dict(islice(items, _AT_ONCE)):
            keys = {key: one.row for key, one in part.items()}
            routed = {key: one.routed for key, one in part.items() if one.routed is not None}
            state.commit(state.position(), {ITEM.view: keys, "routed_item": routed})
            online.write_view(ITEM, [(key, one.row, one.at) for key, one in part.items()])
            done += len(part)
            if done % _SAID == 0:
                say(f"{size:,} items: {done:,} written")


def _samples(state: StateStore) -> tuple[list[Sample], list[Sample]]:
    """The comments and the tracks of the small log."""
    found: dict[str, list[Sample]] = {"comment": [], "track": []}
    for stored in state.scan(ITEM.view):
        routed = state.get("routed_item", list(stored))
        times = visible_at(unpack(ITEM, list(stored.values()))).tolist()
        for (key, row), at in zip(stored.items(), times, strict=True):
            of_type = found[Subject.of_key(key).type_id]
            # A comment that was only reported has no links, and there are few of them.
            if key in routed or of_type is found["track"]:
                of_type.append(Sample(row, at, routed.get(key)))
    return found["comment"], found["track"]


def _items(size: int, comments: list[Sample], tracks: list[Sample]) -> Iterator[tuple[str, Sample]]:
    """Key and sample of each item, all comments first, in the order of their keys."""
    for number in range(size):
        if number % events.ITEMS_PER_TRACK:
            yield Subject("comment", events.item_id(number)).key, comments[number % len(comments)]
    for number in range(0, size, events.ITEMS_PER_TRACK):
        yield Subject("track", events.item_id(number)).key, tracks[number % len(tracks)]


def _bytes(settings: Settings) -> dict[str, int]:
    """The sizes of the two stores."""
    found = {}
    for name, path in (
        ("state", settings.features_dir / "state-0of1.db"),
        ("online", settings.features_dir / "online.db"),
    ):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found[name] = path.stat().st_size
    return found


def _read_ms(settings: Settings, size: int) -> float:
    """The median time to read 100 random comments and what they link to."""
    rng = np.random.default_rng(8)
    numbers = rng.integers(0, size // events.ITEMS_PER_TRACK, (_REPEATS + 1, _READ)) * events.ITEMS_PER_TRACK + 1
    draws = iter([[Subject("comment", events.item_id(number)) for number in some] for some in numbers.tolist()])
    reader = open_reader(settings)
    try:
        return p50_ms(lambda: reader.fetch(next(draws)), _REPEATS)
    finally:
        reader.close()


def _measures(name: str, costs: Mapping[str, float]) -> list[Measure]:
    return [
        Measure(f"{name}: written", 1 / costs["fill_s"], "items/s"),
        Measure(f"{name}: folded", 1 / costs["fold_s"], "events/s"),
        at_most(f"{name}: memory while folding", costs["fold_mb"], "MB", _MOST_MB),
        at_most(f"{name}: start again", costs["start_s"], "s", _MOST_START_S),
        Measure(f"{name}: state", costs["state"], "bytes/item"),
        Measure(f"{name}: online store", costs["online"], "bytes/item"),
        Measure(f"{name}: {_READ} items read online, p50", costs["read_ms"], "ms"),
    ]

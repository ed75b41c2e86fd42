"""The stores for a worker's state: how many values of 400 bytes a second they return and take."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.homes import redis_settings, sqlite_settings
from benchmarks.report import Measure, say
from benchmarks.scale.stores import postgresql_store
from benchmarks.timing import timed
from features.declared.builtin import BUILTIN
from features.partition import WHOLE
from features.state.fence import new_owner
from features.state.store import StateStore
from features.state_stores import open_state
from leads.settings import Settings, load_settings

_VIEW = "item"
_ROWS, _FEWER = 1_000_000, 50_000
_BYTES, _AT_ONCE, _REPEATS = 400, 1_000, 50
# About the number of changes after which a worker commits.
_LARGE = 150_000


def on_each_store(quick: bool) -> list[Measure]:
    """Gets and commits of 1,000 values, and the time of a commit of 150,000, at a million stored values."""
    found: list[Measure] = []
    for name, opened in (("SQLite", _sqlite), ("PostgreSQL", _postgresql), ("Redis", _redis)):
        say(f"state on {name}")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, opened(Path(folder)) as settings:
            store = open_state(settings, WHOLE, BUILTIN, owner=new_owner())
            found += _measured(name, store, _FEWER if quick else _ROWS)
            store.close()
    return found


@contextmanager
def _sqlite(folder: Path) -> Iterator[Settings]:
    yield sqlite_settings(folder / "home")


@contextmanager
def _postgresql(folder: Path) -> Iterator[Settings]:
    with postgresql_store(folder) as engine:
        url = engine.url.render_as_string(hide_password=False)
        yield load_settings(home=folder / "home", corpora="none", database_url=url, state_store="postgresql")


@contextmanager
def _redis(folder: Path) -> Iterator[Settings]:
    with redis_settings(folder / "home", appendonly="yes") as settings:
        yield load_settings(home=settings.home, corpora="none", redis_url=settings.redis_url, state_store="redis")


def _measured(name: str, store: StateStore, rows: int) -> list[Measure]:
    rng = random.Random(7)
    value = rng.randbytes(_BYTES)
    keys = [f"comment:c{i}" for i in range(rows)]
    rng.shuffle(keys)

    def put(chosen: Sequence[str]) -> None:
        store.commit(store.position() + 1, {_VIEW: dict.fromkeys(chosen, value)})

    def get(chosen: Sequence[str]) -> None:
        assert len(store.get(_VIEW, chosen)) == len(chosen)

    for start in range(0, rows, _LARGE):
        put(keys[start : start + _LARGE])
    large = min(_LARGE, rows)
    seconds = statistics.median(timed(lambda: put(rng.sample(keys, large))) for _ in range(3))
    return [
        Measure(f"state on {name}, {_AT_ONCE:,} at a time: got", _rate(get, keys, rng), "values/s"),
        Measure(f"state on {name}, {_AT_ONCE:,} at a time: committed", _rate(put, keys, rng), "values/s"),
        Measure(f"state on {name}, {large:,} at a time: committed", large / seconds, "values/s"),
    ]


def _rate(work: Callable[[Sequence[str]], None], keys: Sequence[str], rng: random.Random) -> float:
    """The median over several calls with other keys."""
    batches = [rng.sample(keys, _AT_ONCE) for _ in range(_REPEATS)]
    return _AT_ONCE / statistics.median(timed(lambda batch=batch: work(batch)) for batch in batches)  # type: ignore[misc]

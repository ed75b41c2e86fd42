"""Reading packed rows online, compared with Feast and the store's own client; they take turns on the same entities."""

from __future__ import annotations

import random
import sqlite3
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.features.peer import VIEW, scalar_frame, scalar_names, scalar_store
from benchmarks.features.samples import START, account_rows
from benchmarks.report import Measure, at_least, at_most
from benchmarks.timing import median_ratio, timed
from features.declared.builtin import ACCOUNT
from features.feast.online_config import PROJECT
from features.feast.store import known_warnings_ignored, open_store
from features.layout import Matrix
from features.online.codec import entity_key, row_of, rows_in
from features.online.redis import field_names
from features.online.stores import Store, open_online_store
from features.online.writer import OnlineWriter
from features.redis.address import redis_options
from features.rows import join
from leads.settings import Settings

SIZES = (1, 10, 100, 1_000)
# Feast is compared where its cost per value shows; with few entities the round trip hides it.
JUDGED = (100, 1_000)

Read = Callable[[Sequence[str]], object]


def reading(settings: Settings, name: str, quick: bool) -> list[Measure]:
    """Times for 1 to 1,000 accounts on the settings' store, and how they compare.

    Args:
        name: the store's name in the report; `redis` has a bar for the ratio to its own client.
    """
    stored = 1_500 if quick else 5_000
    _fill(settings, stored)
    store = open_online_store(settings)
    peer = scalar_store(settings, settings.features_dir / "peer", scalar_frame(stored, START))
    with known_warnings_ignored():
        peer.write_to_online_store(VIEW, scalar_frame(stored, START))
        reads: dict[str, Read] = {
            "ours": lambda keys: _ours(store, keys),
            "feast": _feast(peer, [f"{VIEW}:{one}" for one in scalar_names()]),
            "feast, packed": _feast(open_store(settings), [f"{ACCOUNT.view}:{ACCOUNT.packed_name}"]),
            "bare": _bare(settings),
        }
        measures = []
        for n in SIZES:
            measures += _compare(name, n, reads, stored, repeats=7 if quick else 21)
    store.close()
    return measures


def _ours(store: Store, keys: Sequence[str]) -> Matrix:
    ((values,),) = store.get([row_of(ACCOUNT, keys)])
    rows = rows_in(ACCOUNT, values)
    return join([(ACCOUNT, [row for row in rows if row is not None])])[0]


def _fill(settings: Settings, stored: int) -> None:
    rows = account_rows(stored, 1)
    OnlineWriter(settings).write_view(ACCOUNT, [(f"a{i}", row, START) for i, row in enumerate(rows)])


def _compare(name: str, n: int, reads: dict[str, Read], stored: int, repeats: int) -> list[Measure]:
    drawn = random.Random(n)
    seconds: dict[str, list[float]] = {which: [] for which in reads}
    # The first round only warms up connections and caches.
    for round_ in range(repeats + 1):
        keys = [f"a{i}" for i in drawn.sample(range(stored), n)]
        for which, read in reads.items():
            took = timed(lambda read=read, keys=keys: read(keys))  # type: ignore[misc]
            if round_:
                seconds[which].append(took)
    measures = [
        Measure(f"{name}: {which} at {n:,}", statistics.median(times) * 1_000, "ms") for which, times in seconds.items()
    ]
    times_faster = median_ratio(seconds["feast"], seconds["ours"])
    if n in JUDGED:
        measures.append(at_least(f"{name}: Feast / ours at {n:,}", times_faster, "ratio", 8.0))
    of_bare = median_ratio(seconds["ours"], seconds["bare"])
    what = f"{name}: ours / bare at {n:,}"
    measures.append(at_most(what, of_bare, "ratio", 2.0) if name == "redis" else Measure(what, of_bare, "ratio"))
    return measures


def _feast(store: Any, features: list[str]) -> Read:
    def read(keys: Sequence[str]) -> object:
        rows = [{ACCOUNT.join_key: key} for key in keys]
        return store.get_online_features(features=features, entity_rows=rows).to_dict()

    return read


def _bare(settings: Settings) -> Read:
    """From keys to bytes by the store's own client: a pipeline of HGETs, or one SELECT."""
    if settings.redis_url is not None:
        import redis

        client: Any = redis.Redis(**redis_options(settings.redis_url.get_secret_value()))
        (name,) = field_names(ACCOUNT.view, (ACCOUNT.packed_name,))

        def from_redis(keys: Sequence[str]) -> object:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.hget(entity_key(ACCOUNT.join_key, key) + PROJECT.encode(), name)
            return pipeline.execute()

        return from_redis
    connection = sqlite3.connect(settings.features_dir / "online.db")

    def from_sqlite(keys: Sequence[str]) -> object:
        encoded = [entity_key(ACCOUNT.join_key, key) for key in keys]
        marks = ",".join("?" * len(keys))
        query = f"SELECT entity_key, feature_name, value FROM {PROJECT}_{ACCOUNT.view} WHERE entity_key IN ({marks})"
        return connection.execute(query, encoded).fetchall()

    return from_sqlite

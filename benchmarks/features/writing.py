"""Writing packed rows, compared with Feast's writes of the same number of entities: online, and into offline files."""

from __future__ import annotations

import statistics

from benchmarks.features.peer import SCALARS, VIEW, scalar_frame, scalar_store
from benchmarks.features.samples import START, packed_batch
from benchmarks.report import Measure, at_least
from benchmarks.timing import median_ratio, timed
from features.declared.builtin import ACCOUNT, LAYOUTS
from features.feast.store import open_store
from features.offline.segments import Segments
from features.online.writer import Newest, OnlineWriter, collect
from leads import clock
from leads.settings import Settings


def online_writes(settings: Settings, name: str, quick: bool) -> list[Measure]:
    """Rows per second into the online store, packed and as scalars."""
    n, repeats = (500, 3) if quick else (2_000, 7)
    writer = OnlineWriter(settings)
    peer = scalar_store(settings, settings.features_dir / "peer-online", scalar_frame(n, START))
    ours, theirs = [], []
    for round_ in range(1, repeats + 1):
        newest: Newest = {layout.view: {} for layout in LAYOUTS}
        collect(packed_batch(n, round_), newest)
        frame = scalar_frame(n, START + round_ * clock.SECOND, round_)
        ours.append(n / timed(lambda newest=newest: writer.write(newest)))  # type: ignore[misc]
        theirs.append(n / timed(lambda frame=frame: peer.write_to_online_store(VIEW, frame)))  # type: ignore[misc]
    return [
        Measure(f"{name}: packed rows written, {ACCOUNT.width} floats each", statistics.median(ours), "rows/s"),
        Measure(f"{name}: Feast, {SCALARS} scalars a row", statistics.median(theirs), "rows/s"),
        at_least(f"{name}: packed / Feast", median_ratio(ours, theirs), "ratio", 2.0),
    ]


def offline_writes(settings: Settings, quick: bool) -> list[Measure]:
    """Adding rows to many stored ones: a new segment, and Feast's rewrite of its file."""
    stored, added, repeats = (20_000, 1_000, 3) if quick else (200_000, 1_000, 7)
    open_store(settings, apply=True)
    peer = scalar_store(settings, settings.features_dir / "peer-offline", scalar_frame(stored, START))
    segments = Segments(settings.root / "segments")
    segments.prepare()
    segments.write(packed_batch(added, 0), stored)
    ours, theirs = [], []
    for round_ in range(1, repeats + 1):
        batch, frame = packed_batch(added, round_), scalar_frame(added, START + round_ * clock.SECOND, round_)
        offset = stored + round_ * added
        ours.append(timed(lambda batch=batch, offset=offset: segments.write(batch, offset)))  # type: ignore[misc]
        theirs.append(timed(lambda frame=frame: peer.write_to_offline_store(VIEW, frame)))  # type: ignore[misc]
    return [
        Measure(f"segment of {added:,} rows", statistics.median(ours) * 1_000, "ms"),
        Measure(f"Feast's offline write of {added:,} behind {stored:,}", statistics.median(theirs) * 1_000, "ms"),
        at_least("segment: times faster than Feast's offline write", median_ratio(theirs, ours), "ratio", 2.0),
    ]

"""The arithmetic from measures to a larger platform."""

from __future__ import annotations

import pytest

from benchmarks.scale.docs.extrapolation import (
    ASSUMED,
    ASSUMPTIONS,
    Assumed,
    Found,
    Platform,
    event_s,
    extrapolated,
    found_in,
    partitions_as_is,
    partitions_by_key,
)
from benchmarks.scale.docs.tables import assumptions_grid, sizes_grid
from leads.errors import Unavailable
from tests.support.scale_run import MEASURES

FOUND = Found(
    events=1_000_000,
    fold_s=80e-6,
    one_of_many_s=20e-6,
    score_s=500e-6,
    append_s=40e-6,
    memory_mb=512.0,
    disk_bytes=500.0,
    scored=0.5,
    prediction_bytes=100.0,
    join_s=36.0,
    state_bytes=300.0,
    online_bytes=400.0,
)
# 8,500 plays in 10,000 events a second.
PLATFORM = Platform(items=1e6, plays_per_day=8_500 * 86_400)
ASSUMPTION = Assumed(peak=2.0, busy=0.5, cores=10, memory_gb=10, rows=2.0, copies=2, kept_days=10, night_h=5)


def value_of(name: str) -> str:
    (value,) = {one.value for one in extrapolated(FOUND, PLATFORM, ASSUMPTION) if one.name == name}
    return value


def test_what_every_partition_does_excludes_its_share_of_the_rest() -> None:
    # A partition of 64 does what all do with each event, and a 64th of the rest.
    shared, rest = 15e-6, 65e-6
    found = FOUND._replace(one_of_many_s=shared + rest / 64, fold_s=shared + rest)
    assert found.shared_s == pytest.approx(shared)


def test_partitions_keep_up_exactly_when_there_are_enough() -> None:
    peak, busy, shared, whole = 20_000, ASSUMPTION.busy, FOUND.shared_s, event_s(FOUND, ASSUMPTION)
    n = partitions_as_is(FOUND, peak, ASSUMPTION)
    assert n is not None
    busy_with = [peak * (shared + (whole - shared) / count) for count in (n - 1, n)]
    assert busy_with[0] > busy >= busy_with[1]
    assert partitions_as_is(FOUND, 1.01 * busy / shared, ASSUMPTION) is None
    assert partitions_by_key(FOUND, peak, ASSUMPTION._replace(keys=1)) == 37


def test_events_cost_more_when_each_has_its_own_subject() -> None:
    # Half of the events had one: these took 420 µs in addition to the 80 for folding, so each subject 840.
    assert event_s(FOUND, ASSUMPTION) == pytest.approx(920e-6)
    assert event_s(FOUND, ASSUMPTION._replace(subjects=FOUND.scored)) == pytest.approx(FOUND.score_s)


def test_each_estimate_follows_from_its_measures() -> None:
    assert value_of("events per day") == "8.64 × 10⁸"
    assert value_of("events/s, mean") == "10,000"
    assert value_of("events/s, busiest hour") == "20,000"
    assert value_of("state of all partitions, on disk") == "600 MB"
    assert value_of("online rows, in memory") == "1.6 GB"
    assert value_of("nodes of the online store") == "1"
    assert value_of("disk per day: log, segments, rows") == "432 GB"
    assert value_of("disk per day: prediction log") == "86.4 GB"
    assert value_of("disk for 10 days") == "5.18 TB"
    assert value_of("writers that appending needs, at the speed of one on SQLite") == "2"
    assert value_of("memory of the workers on a machine") == "5 of 10 GB"
    # 36 s for a million events, so 0.01 h; there are 8,640 times as many.
    assert value_of("core hours to join frames over 10 days") == "86.4"


def test_the_arithmetic_shown_gives_the_estimate() -> None:
    by_name = {one.name: one for one in extrapolated(FOUND, PLATFORM, ASSUMPTION)}
    assert by_name["events/s, busiest hour"].arithmetic == "10,000 × 2"
    assert by_name["state of all partitions, on disk"].arithmetic == "10⁶ items × 300 bytes × 2"


def test_the_measures_are_those_at_the_largest_size() -> None:
    found = found_in(MEASURES)
    assert found.events == 1_000_000
    assert found.fold_s == pytest.approx(1 / 15_000)
    assert found.memory_mb == 400.0
    assert found.state_bytes == 350.0


def test_without_a_measure_nothing_is_estimated() -> None:
    without = [measure for measure in MEASURES if "scoring" not in measure.name]
    with pytest.raises(Unavailable, match="log → online with scoring was not measured"):
        found_in(without)


def test_every_assumption_is_explained() -> None:
    assert list(ASSUMPTIONS) == list(ASSUMED._fields)
    assert len(assumptions_grid().rows) == 2 + len(ASSUMPTIONS)


def test_platforms_of_other_sizes_have_the_same_estimates() -> None:
    grid = sizes_grid(FOUND, [PLATFORM, Platform(items=1e3, plays_per_day=850)], ASSUMPTION._replace(kept_days=60))
    (items, plays, peak, partitions, writers, state, online, *_), (small, *rest) = grid.rows
    assert (items, plays, peak, writers) == ("10⁶", "7.34 × 10⁸", "20,000", "2")
    assert partitions == value_of("partitions, today's code")
    assert (state, online) == ("600 MB", "1.6 GB")
    assert (small, rest[2]) == ("1,000", "1")
    assert len(grid.head) == len(grid.rows[0])

"""Series of measures at several sizes, and how fast they grow."""

from __future__ import annotations

import pytest

from benchmarks.report import Measure, at_least, at_most, unmeasured
from benchmarks.scale.growth import Key, exponent, series_of


def test_measures_whose_names_differ_only_in_their_size_are_a_series() -> None:
    measures = [
        Measure("10 events: folded", 400.0, "events/s"),
        at_least("1,000 events: folded", 200.0, "events/s", 12_000),
        at_most("SQLite, 10 leads: claim of 10, p50", 1.5, "ms", 10.0),
        at_most("PostgreSQL, 10 leads: claim of 10, p50", 2.5, "ms", 10.0),
        at_most("event log: cost of folding an event, exponent", 0.15, "", 0.1),
        unmeasured("100 events: folded", "events/s"),
    ]
    found = series_of(measures)
    assert list(found) == [
        Key("events", "folded"),
        Key("leads", "claim of 10, p50", "SQLite"),
        Key("leads", "claim of 10, p50", "PostgreSQL"),
    ]
    folded = found[Key("events", "folded")]
    assert folded.values == {10: 400.0, 1_000: 200.0}
    assert (folded.largest, folded.bar) == (200.0, 12_000)


def test_the_exponent_of_a_rate_is_that_of_the_time_behind_it() -> None:
    times = {10: 1.0, 1_000: 10.0}
    rows = [Measure(f"{n:,} events: join", x, "s") for n, x in times.items()]
    rates = [Measure(f"{n:,} events: joined", 1 / x, "rows/s") for n, x in times.items()]
    found = series_of(rows + rates)
    assert exponent(times) == pytest.approx(0.5)
    assert found[Key("events", "join")].exponent == pytest.approx(0.5)
    assert found[Key("events", "joined")].exponent == pytest.approx(0.5)
    assert series_of(rows[:1])[Key("events", "join")].exponent is None

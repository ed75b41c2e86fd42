"""How late events count: observed once their rows are online."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from leads import clock
from serving.observe import event_lags
from serving.observe.event_lags import EventLags, histogram, worker_lags

NOW = 1_780_012_800_000_000


def buckets(registry: CollectorRegistry) -> dict[str, float]:
    names = ("1.0", "2.0", "5.0", "60.0", "+Inf")
    return {le: registry.get_sample_value(f"{event_lags.NAME}_bucket", {"le": le}) or 0.0 for le in names}


def test_lags_count_from_arrival_until_rows_are_online() -> None:
    registry = CollectorRegistry()
    lags = EventLags(histogram(registry))
    for seconds in (0.5, 1.5, 1.5, 30.0):
        lags.arrived(NOW - round(seconds * clock.SECOND))
    assert buckets(registry)["+Inf"] == 0
    lags.online(NOW)
    lags.online(NOW + clock.HOUR)
    assert buckets(registry) == {"1.0": 1, "2.0": 3, "5.0": 3, "60.0": 4, "+Inf": 4}
    assert registry.get_sample_value(f"{event_lags.NAME}_sum") == pytest.approx(33.5)


def test_a_clock_that_is_behind_makes_no_negative_lag() -> None:
    registry = CollectorRegistry()
    lags = EventLags(histogram(registry))
    lags.arrived(NOW + clock.MINUTE)
    lags.online(NOW)
    assert registry.get_sample_value(f"{event_lags.NAME}_sum") == 0


def test_nothing_is_kept_where_nobody_reads_it() -> None:
    lags = worker_lags()
    lags.arrived(NOW)
    lags.online(NOW)
    assert not lags._waiting

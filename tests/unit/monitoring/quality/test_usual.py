"""What is missing of what usually comes: found when it stops, and quiet in ordinary weeks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from monitoring.quality.usual import HISTORY_HOURS, missing

Counts = npt.NDArray[np.float64]
HOURS = HISTORY_HOURS + 1


def ordinary(mean: float, seed: int, hours: int = HOURS) -> Counts:
    """Hourly counts with a rhythm of the day and quieter weekends."""
    draw = np.random.default_rng(seed)
    at = np.arange(hours)
    weekend = np.where((at // 24) % 7 >= 5, 0.6, 1.0)
    return draw.poisson(mean * weekend * (1 + 0.7 * np.sin(at * 2 * np.pi / 24))).astype(float)


def stopped(counts: Counts, hours: int) -> Counts:
    found = counts.copy()
    found[-hours:] = 0
    return found


def test_a_large_feed_that_stops_is_missed_after_an_hour() -> None:
    for seed in range(20):
        found = missing(stopped(ordinary(2_000, seed), 1))
        assert found is not None
        assert found.hours == 1
        assert found.found.lo > 0.9


def test_a_small_feed_takes_as_many_hours_as_certainty_needs() -> None:
    counts = ordinary(20, 1)
    one = missing(stopped(counts, 1))
    day = missing(stopped(counts, 24))
    assert one is not None
    assert one.found.lo < 0.9
    assert day is not None
    assert day.hours > 3
    assert day.found.lo > 0.9


@pytest.mark.slow
def test_ordinary_weeks_have_no_false_alarm() -> None:
    for mean in (2, 20, 2_000):
        series = ordinary(mean, 3, hours=HOURS + 24 * 90)
        for end in range(HOURS, len(series)):
            found = missing(series[end - HOURS : end])
            assert found is None or found.found.lo <= 0.5


def test_a_batch_by_a_schedule_is_missed_when_the_pause_is_twice_as_long() -> None:
    counts = np.zeros(HOURS)
    counts[::24] = 5_000
    # The last batch came this hour; then a day and almost two without.
    on_time = missing(counts)
    assert on_time is not None
    assert on_time.found.value == 0
    later = np.append(counts, np.zeros(30))[-HOURS:]
    overdue = np.append(counts, np.zeros(47))[-HOURS:]
    assert missing(later).found.lo < 0.5  # type: ignore[union-attr]
    assert missing(overdue).found.lo > 0.9  # type: ignore[union-attr]


def test_a_rare_feed_without_a_schedule_has_no_expectation() -> None:
    draw = np.random.default_rng(5)
    for _ in range(50):
        assert missing((draw.random(HOURS) < 0.05).astype(float)) is None


def test_a_feed_without_history_has_no_expectation() -> None:
    young = np.full(HOURS, np.nan)
    assert missing(young) is None
    young[-30:] = 100.0
    assert missing(young) is None
    assert missing(np.zeros(HOURS)) is None

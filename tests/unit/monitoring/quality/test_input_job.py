"""The jobs `inputs` and `new_values`: broken feeds of features, and what only looks like one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.rows import MetricRow
from monitoring.quality.inputs import INPUTS, MISSING, OUTSIDE, STUCK
from monitoring.quality.new_values import NAME, NEW_VALUES
from monitoring.summaries.reference import Reference
from monitoring.summaries.summary import Summary
from monitoring.summaries.tally import Described, Rows
from monitoring.watch.world import Hour
from tests.support.monitoring.planned_world import NOW, PlannedWorld, hour_of, named

Columns = dict[str, npt.NDArray[np.float64]]
PLAYS = "column=account.plays_24h"


def usual(draw: np.random.Generator, n: int) -> Columns:
    plays = draw.lognormal(2, 1, n)
    plays[draw.random(n) < 0.05] = np.nan
    return {"account.plays_24h": plays, "account.strikes": draw.poisson(0.02, n).astype(float), "score": draw.random(n)}


def world(change: Callable[[Columns], Columns], *, hours: int = 5 * 24, n: int = 200, seed: int = 1) -> PlannedWorld:
    """Days of the usual, and an hour that is changed."""
    draw = np.random.default_rng(seed)
    found: list[Hour] = []
    for at in range(NOW - hours * clock.HOUR, NOW, clock.HOUR):
        columns = usual(draw, int(draw.poisson(n)))
        found.append(hour_of(at, change(columns) if at == NOW - clock.HOUR else columns))
    return PlannedWorld(hours=found)


def beyond(rows: Iterable[MetricRow], name: str, limit: float) -> list[str]:
    return [row.slice for row in rows if row.name == name and row.lo is not None and row.lo > limit]


def test_a_feed_that_breaks_is_named_within_the_hour() -> None:
    def broken(columns: Columns) -> Columns:
        return columns | {"account.plays_24h": np.full(len(columns["score"]), np.nan)}

    rows = world(broken).run(INPUTS, "spam", NOW)
    assert beyond(rows, MISSING, 0.2) == [PLAYS]
    assert not beyond(rows, STUCK, 0.5)


def test_a_feed_that_breaks_for_a_part_of_the_subjects_is_named() -> None:
    def broken(columns: Columns) -> Columns:
        plays = columns["account.plays_24h"].copy()
        plays[::2] = np.nan
        return columns | {"account.plays_24h": plays}

    assert beyond(world(broken, n=600).run(INPUTS, "spam", NOW), MISSING, 0.2) == [PLAYS]


def test_an_input_that_is_stuck_is_named() -> None:
    def stuck(columns: Columns) -> Columns:
        return columns | {"account.plays_24h": np.full(len(columns["score"]), 7.0)}

    assert beyond(world(stuck).run(INPUTS, "spam", NOW), STUCK, 0.5) == [PLAYS]


def test_an_input_that_is_rare_and_varies_from_hour_to_hour_is_not_stuck() -> None:
    draw = np.random.default_rng(6)
    hours = [
        hour_of(at, {"flag": (draw.random(600) < max(0.0, draw.normal(0.1, 0.04))).astype(float)})
        for at in range(NOW - 8 * clock.DAY, NOW - clock.HOUR, clock.HOUR)
    ]
    hours.append(hour_of(NOW - clock.HOUR, {"flag": np.zeros(600)}))
    rows = PlannedWorld(hours=hours).run(INPUTS, "spam", NOW)
    assert named(rows, STUCK, "column=flag").value == pytest.approx(1)
    assert not beyond(rows, STUCK, 0.5)


def test_a_wave_of_new_accounts_is_no_broken_feed() -> None:
    def wave(columns: Columns) -> Columns:
        new = 3 * len(columns["score"])
        added = {
            "account.plays_24h": np.full(new, np.nan),
            "account.strikes": np.zeros(new),
            "score": np.full(new, 0.9),
        }
        return {name: np.append(columns[name], added[name]) for name in columns}

    rows = world(wave).run(INPUTS, "spam", NOW)
    assert named(rows, MISSING, PLAYS).value > 0.6  # type: ignore[operator]
    assert not beyond(rows, MISSING, 0.2)
    assert not beyond(rows, STUCK, 0.5)


def test_values_far_beyond_all_earlier_ones_are_counted() -> None:
    def shifted(columns: Columns) -> Columns:
        return columns | {"account.plays_24h": columns["account.plays_24h"] * 1e6}

    assert named(world(shifted).run(INPUTS, "spam", NOW), OUTSIDE, PLAYS).value > 0.9  # type: ignore[operator]


def test_ordinary_hours_write_down_nothing_notable() -> None:
    found = world(lambda columns: columns, hours=30 * 24, n=60)
    rows = [
        row for until in range(NOW - 20 * clock.DAY, NOW + 1, clock.HOUR) for row in found.run(INPUTS, "spam", until)
    ]
    assert not beyond(rows, MISSING, 0.05)
    assert not beyond(rows, STUCK, 0.05)
    assert not beyond(rows, OUTSIDE, 0.05)


def test_what_was_notable_is_written_down_until_it_is_over() -> None:
    def broken(columns: Columns) -> Columns:
        return columns | {"account.plays_24h": np.full(len(columns["score"]), np.nan)}

    found = world(broken)
    found.run(INPUTS, "spam", NOW)
    found._planned.append(hour_of(NOW, usual(np.random.default_rng(9), 200)))
    found.now = NOW + clock.HOUR
    assert abs(named(found.run(INPUTS, "spam", NOW + clock.HOUR), MISSING, PLAYS).value or 1) < 0.1


def test_a_part_of_an_hour_is_measured_as_soon_as_it_has_enough_subjects() -> None:
    found = world(lambda columns: columns)
    found.now = NOW + 10 * clock.MINUTE
    nothing = np.full(40, np.nan)
    found._planned.append(hour_of(NOW, {"account.plays_24h": nothing, "score": np.full(40, 0.2)}))
    assert beyond(found.run(INPUTS, "spam", NOW + clock.HOUR), MISSING, 0.2) == [PLAYS]
    found._planned[-1] = hour_of(NOW, {"account.plays_24h": nothing[:20], "score": np.full(20, 0.2)})
    assert found.run(INPUTS, "spam", NOW + clock.HOUR) == []


GENRES = """
version: 1
types:
  account: {title: Account}
  comment:
    title: Comment
    fields:
      text: {kind: text, judged: true}
      genre: {kind: category}
"""


@pytest.fixture
def genres(tmp_path: Path) -> Path:
    """A platform whose comments have a category."""
    path = tmp_path / "platform.yaml"
    path.write_text(GENRES, encoding="utf-8")
    return path


def declared(at: Micros, **values: int) -> Hour:
    return Hour(at, "1", Summary(sum(values.values()), 0, {}, {"genre": values}))


def test_a_renamed_category_is_found_and_becomes_usual_after_three_days(genres: Path) -> None:
    renamed = NOW - 2 * clock.HOUR
    hours = [
        declared(at, music=40, **({"podcast": 60} if at < renamed else {"podcasts": 60}))
        for at in range(NOW - 10 * clock.DAY, NOW + 5 * clock.DAY, clock.HOUR)
    ]
    found = PlannedWorld(hours=hours, platform=genres)
    assert named(found.run(NEW_VALUES, "spam", NOW), NAME, "column=genre").lo > 0.02  # type: ignore[operator]
    assert named(found.run(NEW_VALUES, "spam", NOW - 6 * clock.HOUR), NAME, "column=genre").value == 0
    assert named(found.run(NEW_VALUES, "spam", NOW + 4 * clock.DAY), NAME, "column=genre").value == 0


def test_values_that_training_saw_are_not_new(genres: Path) -> None:
    hours = [declared(NOW - clock.HOUR, music=40, podcast=60)]
    seen = Described({"genre": ["music", "podcast"] * 150}, {}, {})
    reference = Reference(Rows(np.zeros(300), ["none"] * 300, ["comment"] * 300, described=seen))
    rows = PlannedWorld(hours=hours, platform=genres, reference=reference).run(NEW_VALUES, "spam", NOW)
    assert named(rows, NAME, "column=genre").value == 0
    assert PlannedWorld(hours=hours, platform=genres).run(NEW_VALUES, "spam", NOW) == []


def test_on_a_young_platform_the_reference_says_what_is_usual() -> None:
    draw = np.random.default_rng(4)
    columns = usual(draw, 1_000)
    names = ("account.plays_24h", "account.strikes")
    matrix = np.column_stack([columns[name] for name in names])
    reference = Reference(Rows(columns["score"], ["none"] * 1_000, ["comment"] * 1_000, names, matrix))
    broken = usual(draw, 100) | {"account.plays_24h": np.full(100, np.nan)}
    hours = [hour_of(NOW - clock.HOUR, broken)]
    assert beyond(PlannedWorld(hours=hours, reference=reference).run(INPUTS, "spam", NOW), MISSING, 0.2) == [PLAYS]
    assert PlannedWorld(hours=hours).run(INPUTS, "spam", NOW) == []


def test_names_that_nobody_declared_are_no_fields() -> None:
    hours = [
        Hour(at, "1", Summary(400, 0, {}, {"vocabulary": {"w1": 400}}))
        for at in (NOW - 5 * clock.DAY, NOW - clock.HOUR)
    ]
    assert PlannedWorld(hours=hours).run(NEW_VALUES, "spam", NOW) == []

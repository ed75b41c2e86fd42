"""A window is compared with the reference and with windows before it, in every slice, by one family of tests."""

from __future__ import annotations

import numpy as np
import pytest

from leads import clock
from monitoring.drift.measure import measure
from monitoring.drift.results import BEFORE, REFERENCE, Comparison, Measured
from monitoring.summaries.reference import Reference
from monitoring.summaries.summary import MISSING
from tests.support.drift_rows import HARM, NAMES, Change, Doubles, FakeWorld, Platform, at_hour

DAY = 24
# The window is the 24 hours before this hour.
END = 30 * DAY


def measured(platform: Platform, *, hours: int = DAY, end: int = END, **options: object) -> Measured:
    return measure(FakeWorld(platform), HARM, at_hour(end - hours), at_hour(end), **options)  # type: ignore[arg-type]


def against(found: Measured, what: str, slice_: str = "") -> Comparison:
    return next(one for one in found.comparisons if (one.against, one.slice) == (what, slice_))


def from_hour(first: int, change: Change) -> Platform:
    return Platform(changes=lambda number: change if number >= first else None)


def more_reports(made: Doubles, random: np.random.Generator) -> None:
    made[:, 0] = random.random(len(made)) < 0.5


def share_missing(made: Doubles, random: np.random.Generator) -> None:
    made[random.random(len(made)) < 0.7, 5] = np.nan


def more_reports_1h(made: Doubles, random: np.random.Generator) -> None:
    made[:, 4] = random.random(len(made)) < 0.06


def more_plays(made: Doubles, random: np.random.Generator) -> None:
    made[:, 1] *= 4


@pytest.mark.parametrize("hours", [6, 24, 72])
def test_unchanged_windows_have_not_drifted(hours: int) -> None:
    found = measured(Platform(), hours=hours)
    assert found.drifted is False
    assert [column.name for one in found.comparisons for column in one.columns if column.drifted] == []
    assert {one.against for one in found.comparisons} == {REFERENCE, BEFORE}
    assert {one.slice for one in found.comparisons} == {"", "language=de", "language=en", "type=comment", "type=track"}
    whole = against(found, REFERENCE)
    assert (whole.version, whole.rows, whole.predictions) == ("3", 120 * hours, 240 * hours)
    assert not found.too_few


def test_what_changed_is_named_and_ranked() -> None:
    found = measured(from_hour(END - DAY, more_reports))
    for what in (REFERENCE, BEFORE):
        one = against(found, what)
        assert [column.name for column in one.columns if column.drifted] == ["item.reports_24h"]
        first = one.columns[0]
        assert first.value > first.threshold >= 0.1
        assert (round(first.reference.mean, 1), round(first.current.mean, 1)) == (0.1, 0.5)
        # Two of the six inputs grow with the platform's age, so that one is a quarter.
        assert one.share == pytest.approx(0.25)
        assert one.drifted
    assert found.drifted is True


def test_a_missing_value_is_drift_of_its_input() -> None:
    one = against(measured(from_hour(END - DAY, share_missing)), REFERENCE)
    first = next(column for column in one.columns if column.input)
    assert first.name == "account.short_share_7d" + MISSING
    assert one.inputs["account.short_share_7d"]
    assert first.method == "Cohen's h"


def test_a_rare_value_is_compared_by_its_share() -> None:
    one = against(measured(from_hour(END - DAY, more_reports_1h)), REFERENCE)
    column = one.column("item.reports_1h")
    assert column is not None
    assert (column.method, column.drifted) == ("Cohen's h", True)
    assert column.value < 1


def test_a_change_long_ago_is_drift_from_the_reference_alone() -> None:
    found = measured(from_hour(0, more_plays), end=40 * DAY, slices=False)
    assert against(found, REFERENCE).score_drifted
    assert not against(found, BEFORE).drifted


def test_what_grows_with_age_is_shown_but_is_no_drift() -> None:
    one = against(measured(Platform(ages=True), end=40 * DAY, slices=False), REFERENCE)
    age = one.column("account.age_h")
    assert age is not None
    assert (age.grows, age.drifted) == (True, False)
    assert age.value > 1
    assert "account.age_h" not in one.inputs
    assert not one.drifted


@pytest.mark.parametrize("per_hour", [120, 24])
def test_a_change_in_one_slice_is_found_there_even_if_the_slice_is_small(per_hour: int) -> None:
    platform = Platform(per_hour=per_hour)
    for number in range(END - 6, END):
        rows = platform.rows(number)
        german = np.array(rows.described.categories["language"]) == "de"
        assert rows.matrix is not None
        rows.matrix[german, 1] = rows.matrix[german, 1] * 3 + 5
    found = measured(platform, hours=6)
    drifted = {one.slice for one in found.comparisons if any(column.drifted for column in one.columns)}
    assert "language=de" in drifted
    assert "language=en" not in drifted
    rows = against(found, REFERENCE, "language=de").rows
    assert (rows < 100) == (per_hour < 100)


def test_another_vocabulary_is_drift_of_the_texts() -> None:
    def other_words(random: np.random.Generator) -> list[str]:
        return [str(n) for n in random.integers(0, 40, 6)]

    platform = Platform(words=lambda number: other_words if number >= END - DAY else None)
    one = against(measured(platform), BEFORE)
    column = one.column("vocabulary")
    assert column is not None
    assert (column.drifted, column.input) == (True, "")


def test_a_promotion_in_mid_window_compares_each_version_and_goes_on() -> None:
    platform = Platform(versions={0: "3", END - 8: "4"})
    world = FakeWorld(platform, references={"3": platform.reference(), "4": platform.reference(seed=5)})
    found = measure(world, HARM, at_hour(END - DAY), at_hour(END))
    whole = [one for one in found.comparisons if not one.slice]
    assert {(one.version, one.against, one.rows // 120) for one in whole} == {
        ("3", REFERENCE, 16),
        ("4", REFERENCE, 8),
        ("", BEFORE, 24),
    }
    alone = measure(world, HARM, at_hour(END - DAY), at_hour(END), version="4")
    assert {one.rows // 120 for one in alone.comparisons if not one.slice} == {8}


def test_a_version_without_a_readable_reference_is_judged_by_the_windows_before() -> None:
    world = FakeWorld(from_hour(END - DAY, more_reports), references={"3": None})
    found = measure(world, HARM, at_hour(END - DAY), at_hour(END))
    assert [one.against for one in found.verdicts] == [BEFORE]
    assert found.drifted is True
    assert [one.why for one in found.too_few] == ["the reference sample of version 3 can't be read"]


def test_a_reference_of_an_earlier_release_is_used_as_a_whole() -> None:
    platform = Platform()
    plain = platform.reference()
    world = FakeWorld(platform, references={"3": Reference(plain.rows)})
    found = measure(world, HARM, at_hour(END - DAY), at_hour(END))
    assert against(found, REFERENCE).of_rows == len(plain)
    assert found.drifted is False


def test_too_few_rows_give_no_verdict_and_say_why() -> None:
    found = measured(Platform(per_hour=2), hours=6)
    assert (found.drifted, found.comparisons) == (None, ())
    assert found.too_few[0].why == "it has 12 subjects, and a verdict needs 100"
    silent = measured(Platform(silent=lambda number: number >= END - DAY))
    assert silent.too_few[0].why == "it has no predictions"
    # Twelve rows can be compared, but hardly any change of theirs could be seen.
    few = measured(Platform(per_hour=2), hours=6, min_rows=10)
    assert few.drifted is None
    assert "would show" in few.verdicts[0].unclear


def test_the_first_window_has_only_a_reference() -> None:
    found = measured(Platform(), end=DAY)
    assert [one.against for one in found.comparisons if not one.slice] == [REFERENCE]
    assert found.too_few[0].why == "no window before it has 100 subjects"


def test_a_window_is_compared_with_the_same_hours_of_the_week() -> None:
    # Every Monday is unlike other days, which is no news on a Monday.
    platform = Platform(changes=lambda number: more_plays if number // DAY % 7 == 0 else None, first=-28 * DAY)
    monday = measured(platform, end=29 * DAY)
    assert against(monday, BEFORE).alike == "the same hours of the last four weeks"
    assert not against(monday, BEFORE).drifted


def test_equal_inputs_give_equal_results() -> None:
    one, other = (measured(from_hour(END - DAY, more_plays)) for _ in range(2))
    # As text, in which a missing figure equals itself.
    assert repr(one) == repr(other)


def test_a_platform_whose_days_differ_has_fewer_independent_rows() -> None:
    def change(number: int) -> Change:
        factor = float(np.random.default_rng([8, number // DAY]).lognormal(0, 0.35))

        def vary(made: Doubles, random: np.random.Generator) -> None:
            made[:, 1] *= factor

        return vary

    steady = against(measured(Platform(), slices=False), BEFORE).column("item.plays_24h")
    varied = against(measured(Platform(changes=change), slices=False), BEFORE).column("item.plays_24h")
    assert steady is not None
    assert varied is not None
    assert varied.threshold > 2 * steady.threshold


def test_hours_of_the_reference_are_weighted_to_those_of_the_window() -> None:
    # At night, plays are a tenth. A window of night hours is usual, although it is unlike the reference as a whole.
    def at_night(made: Doubles, random: np.random.Generator) -> None:
        made[:, 1] = np.floor(made[:, 1] / 10)

    platform = Platform()
    sample = platform.reference(6_000)
    assert sample.at is not None
    assert sample.rows.matrix is not None
    night = sample.at // clock.HOUR % DAY < 6
    at_night(part := sample.rows.matrix[night], np.random.default_rng(0))
    sample.rows.matrix[night] = part
    platform.changes = lambda number: at_night if number % DAY < 6 else None
    world = FakeWorld(platform, references={"3": sample})
    found = measure(world, HARM, at_hour(END), at_hour(END + 6), slices=False)
    column = against(found, REFERENCE).column("item.plays_24h")
    assert column is not None
    assert not column.drifted


def test_all_inputs_have_names() -> None:
    one = against(measured(from_hour(END - DAY, more_plays)), REFERENCE)
    assert {column.input for column in one.columns} - {""} <= set(NAMES)


def test_a_reference_of_few_accounts_proves_less() -> None:
    platform = from_hour(END - DAY, more_plays)
    plain = platform.reference()
    assert plain.rows.matrix is not None
    assert plain.at is not None
    # Each account has a tenth of the values.
    by_plays = np.argsort(np.argsort(plain.rows.matrix[:, 1])) // 300
    references = [Reference(plain.rows, plain.at, accounts) for accounts in ((), [str(one) for one in by_plays])]
    window = at_hour(END - DAY), at_hour(END)
    alone, clustered = (
        against(measure(FakeWorld(platform, references={"3": one}), HARM, *window), REFERENCE) for one in references
    )
    thresholds = [one.column("item.plays_24h") for one in (alone, clustered)]
    assert thresholds[0] is not None
    assert thresholds[1] is not None
    assert thresholds[1].value == thresholds[0].value
    assert thresholds[1].threshold > 3 * thresholds[0].threshold


class YoungWorld(FakeWorld):
    """The log began two days before the window, or `days` before the reference's rows."""

    def __init__(self, platform: Platform, began: int) -> None:
        super().__init__(platform)
        self._first = at_hour(began)

    def log_began(self) -> int:
        return self._first


def test_inputs_whose_windows_reach_beyond_the_first_event_are_left_out_in_one_line() -> None:
    platform = from_hour(END - DAY, share_missing)
    old, young = (YoungWorld(platform, began * DAY) for began in (-200, -28))
    for world, drifted in ((old, True), (young, False)):
        one = against(measure(world, HARM, at_hour(END - DAY), at_hour(END)), REFERENCE)
        column = one.column("account.short_share_7d" + MISSING)
        assert column is not None
        assert (column.grows, column.drifted) == (not drifted, drifted)
        assert ("account.short_share_7d" in one.inputs) is drifted
    assert old.notes == []
    assert young.notes == [
        "spam: the windows of 1 input reach back beyond the log's first event where the baseline begins. They are "
        "shown, and don't count: account.short_share_7d."
    ]


def test_the_windows_before_begin_later_than_the_reference() -> None:
    platform = from_hour(END - DAY, share_missing)
    # Three weeks before the window, two of the four weeks that it is compared with had no full week of events.
    found = {}
    for began in (-28, 14):
        world = YoungWorld(platform, began * DAY)
        one = against(measure(world, HARM, at_hour(END - DAY), at_hour(END)), BEFORE)
        column = one.column("account.short_share_7d" + MISSING)
        assert column is not None
        found[began] = column.drifted
    assert found == {-28: True, 14: False}

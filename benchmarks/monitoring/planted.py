"""What monitoring says of planted changes, how soon, and how often it says something about quiet months."""

from __future__ import annotations

import multiprocessing
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from benchmarks.monitoring.generated import START, Change, Platform
from benchmarks.monitoring.timeline import Timeline, watched
from benchmarks.monitoring.world import HISTORY_DAYS
from benchmarks.report import Measure, at_most, say
from leads import clock
from leads.estimates.slices import slice_parts

T = TypeVar("T")

MONTH_HOURS = 30 * 24
# A change begins in this hour after the history, so that it isn't at the same time of the day for each seed.
FIRST_HOUR, STEP_HOURS = 5, 7


class Expected(NamedTuple):
    """What names a change correctly: one of the rules, about one of the columns, in one of the slices, in time.

    Args:
        within_h: hours after the change.
        columns: empty: any or none.
        slices: parts that the slice has.
    """

    within_h: float
    rules: tuple[str, ...]
    columns: tuple[str, ...] = ()
    slices: tuple[tuple[str, str], ...] = ()

    def names(self, rule: str, slices: Iterable[str]) -> bool:
        """Whether an alert of a rule that names these slices names the change."""
        return rule in self.rules and any(self._in(slice_parts(one)) for one in slices)

    def _in(self, parts: Mapping[str, str]) -> bool:
        column = parts.get("column", "").removesuffix(" is missing")
        right = not self.columns or column in self.columns
        return right and all(parts.get(name) == value for name, value in self.slices)


_PLAYS = ("item.plays_1h", "item.plays_24h", "item.listeners_24h", "account.short_share_24h")
_FARM = ("account.short_share_24h", "account.night_share_7d", "account.devices_7d")
EXPECTED = {
    "broken_feed": Expected(1, ("inputs_missing", "feed_stopped"), (*_PLAYS, "")),
    "clock_off": Expected(1, ("clock_off",), slices=(("source", "partner"),)),
    "report_brigade": Expected(1, ("report_brigade",)),
    "spam_wave": Expected(6, ("flagged_surge", "score_drift")),
    "one_slice": Expected(6, ("score_drift", "flagged_surge", "input_drift"), slices=(("language", "de"),)),
    "farm_tactic": Expected(24, ("input_drift",), _FARM),
    "renamed_category": Expected(24, ("new_values",), ("genre",)),
    "vocabulary": Expected(72, ("text_drift",), ("vocabulary",)),
    "label_policy": Expected(72, ("verdicts_changed", "promise_gap", "precision_low", "miscalibrated")),
}


def named(seed: int, which: Sequence[str]) -> dict[str, float | None]:
    """How soon each change was named, in hours; None if it wasn't in time.

    A platform is watched until shortly before something changes. For each change, a copy of the process watches on.
    """
    began = START + HISTORY_DAYS * clock.DAY
    at = began + (FIRST_HOUR + seed * STEP_HOURS % 24) * clock.HOUR
    with TemporaryDirectory() as folder:
        timeline = Timeline(Platform(seed), Path(folder))
        timeline.warm_up(began)
        for _ in timeline.hours(began, at - clock.HOUR):
            pass
        found = {change: in_child(partial(_after, timeline, Change(change, at))) for change in which}
    missed = [change for change, hours in found.items() if hours is None]
    say(
        f"platform {seed}: {len(which) - len(missed)} of {len(which)} changes named"
        + "".join(f", not {x}" for x in missed)
    )
    return found


def _after(timeline: Timeline, change: Change) -> float | None:
    """Let something change, and watch until that is named, or should have been."""
    expected, at = EXPECTED[change.name], change.at
    timeline.world.generated.change = change
    for _, opened in timeline.hours(at - clock.HOUR, at + int(expected.within_h + 1) * clock.HOUR):
        for alert in opened:
            # Runs after the change also judge windows that ended before it.
            in_time = alert.at <= at + expected.within_h * clock.HOUR + GRACE and alert.row.until > at
            if in_time and expected.names(alert.rule.name, alert.named):
                return (alert.at - at) / clock.HOUR
    return None


# A run needs a moment: windows that end on time are measured a few minutes later.
GRACE = 6 * clock.MINUTE


def quiet(seed: int) -> Counter[str]:
    """The alerts of a quiet month, by severity; digest entries of one rule and day count as one entry."""
    found: Counter[str] = Counter()
    for end, opened in watched(Platform(seed), MONTH_HOURS):
        for alert in opened:
            if alert.new:
                found[alert.rule.severity] += 1
                found[f"{alert.rule.severity} {alert.rule.name} {alert.named[0]}"] += 1
        if (end - START) % (5 * clock.DAY) == 0:
            say(f"quiet month, seed {seed}: {(end - START) // clock.DAY - HISTORY_DAYS} days watched")
    return found


def changes(seeds: Sequence[int], which: Sequence[str] = tuple(EXPECTED)) -> list[Measure]:
    """How many of the planted changes were named in time, and how soon."""
    by_seed = each(partial(named, which=which), seeds)
    rows = []
    for change in which:
        found = [one[change] for one in by_seed]
        soon = [hours for hours in found if hours is not None]
        limit = EXPECTED[change].within_h
        missed = len(found) - len(soon)
        say(f"{change}: {len(soon)} of {len(found)} named within {limit:g} h")
        rows.append(at_most(f"{change}: not named within {limit:g} h, of {len(found)}", missed, "seeds", 0))
        rows.append(Measure(f"{change}: named after, median", statistics.median(soon) if soon else None, "h"))
    return rows


def quiet_months(seeds: Sequence[int]) -> list[Measure]:
    """False pages a year and false digest entries a month, on months without a change."""
    found = each(quiet, seeds)
    total = sum(found, Counter[str]())
    for name, n in sorted(total.items()):
        if " " in name:
            say(f"  {n} × {name}")
    months = len(seeds)
    return [
        Measure("quiet months watched", months, "months"),
        at_most("false pages, a harm and year", total["page"] * 12 / months, "pages", 1),
        at_most("false digest entries, a harm and month", total["digest"] / months, "entries", 1),
    ]


def in_child(work: Callable[[], T]) -> T:
    """What the work gives in a copy of this process, which it can change as it likes.

    Raises:
        EOFError: the copy died.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(work()))
    child.start()
    sender.close()
    try:
        found: T = receiver.recv()
        return found
    finally:
        child.join()


def each(work: Callable[[int], T], seeds: Sequence[int]) -> list[T]:
    """What the work gives for each seed, two at a time."""
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(work, seeds))

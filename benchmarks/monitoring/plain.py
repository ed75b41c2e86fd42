"""What plain Evidently says of the same generated rows: its drift preset by default, against the same reference."""

from __future__ import annotations

import os
import statistics
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.monitoring.generated import COLUMNS, START, Change, HourRows, Platform
from benchmarks.monitoring.planted import EXPECTED
from benchmarks.report import Measure, say
from leads import clock
from leads.clock import Micros
from leads.processes import QUIET

_REFERENCE_ROWS = 5_000
_CATEGORIES = ("type", "language", "genre")
# The columns that Evidently compares and that a change moves; none where a change isn't in them.
_MOVED = {
    "broken_feed": ("item.plays_1h", "item.plays_24h", "item.listeners_24h", "account.short_share_24h"),
    "spam_wave": ("score", "text.log_odds", "account.items_24h"),
    "one_slice": ("score", "text.log_odds"),
    "farm_tactic": ("account.short_share_24h", "account.night_share_7d", "account.devices_7d"),
    "renamed_category": ("genre",),
}


class Said(NamedTuple):
    """The columns that Evidently flags, and whether it says that the data set drifted."""

    columns: tuple[str, ...]
    dataset: bool


def compared(reference: pd.DataFrame, current: pd.DataFrame) -> Said:
    """Evidently's verdict with its defaults."""
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        known = [name for name in reference if current[name].notna().any()]
        definition = DataDefinition(
            numerical_columns=[name for name in known if name not in _CATEGORIES],
            categorical_columns=[name for name in known if name in _CATEGORIES],
        )
        sides = (Dataset.from_pandas(side[known], data_definition=definition) for side in (current, reference))
        found = Report([DataDriftPreset()], include_tests=True).run(*sides).dict()
    flagged = [
        one["metric_config"]["params"]["column"]
        for one in found["tests"]
        if one["metric_config"]["params"].get("column") and one["status"] == "FAIL"
    ]
    share = len(flagged) / len(known)
    # A column without any value can't be given to it.
    return Said((*flagged,), share >= 0.5)


def frame(rows: Sequence[HourRows]) -> pd.DataFrame:
    """Hours as Evidently takes them."""
    found = pd.DataFrame(np.vstack([one.matrix for one in rows]), columns=list(COLUMNS))
    found["score"] = np.concatenate([one.scores for one in rows])
    for name, part in zip(_CATEGORIES, ("types", "languages", "genres"), strict=True):
        found[name] = np.concatenate([getattr(one, part) for one in rows])
    return found


def evidently(seeds: Sequence[int]) -> list[Measure]:
    """The share of unchanged columns that it flags, by the length of the window, and what it says of changes."""
    rows = []
    for hours in (1, 6, 24, 72):
        shares, verdicts = [], []
        for seed in seeds:
            platform = Platform(seed)
            reference = _reference(platform)
            for day in range(3):
                at = START + (7 * day + 1) * clock.DAY + 9 * clock.HOUR
                said = compared(reference, frame(_hours(platform, at, hours)))
                shares.append(len(said.columns) / len(reference.columns))
                verdicts.append(said.dataset)
        say(f"Evidently, {hours} quiet hours: {statistics.mean(shares):.0%} of the columns flagged")
        rows.append(Measure(f"plain Evidently, quiet {hours} h: columns flagged", statistics.mean(shares), "share"))
        rows.append(Measure(f"plain Evidently, quiet {hours} h: data set drifted", statistics.mean(verdicts), "share"))
    for name, moved in _MOVED.items():
        hours = max(1, int(EXPECTED[name].within_h))
        hits, others = [], []
        for seed in seeds:
            at = START + clock.DAY + 9 * clock.HOUR
            changed = Platform(seed, change=Change(name, at))
            said = compared(_reference(Platform(seed)), frame(_hours(changed, at, hours)))
            hits.append(any(column in said.columns for column in moved))
            others.append(sum(column not in moved for column in said.columns))
        rows.append(
            Measure(f"plain Evidently, {name}, {hours} h: a moved column flagged", statistics.mean(hits), "share")
        )
        rows.append(
            Measure(f"plain Evidently, {name}, {hours} h: other columns flagged", statistics.mean(others), "columns")
        )
    return rows


def _hours(platform: Platform, at: Micros, hours: int) -> list[HourRows]:
    return [platform.hour(at + i * clock.HOUR) for i in range(hours)]


def _reference(platform: Platform) -> pd.DataFrame:
    every = frame(_hours(platform, START - 28 * clock.DAY, 28 * 24))
    return every.sample(min(len(every), _REFERENCE_ROWS), random_state=0)

"""The window of the prediction log that a check looks at.

A window ends with the newest prediction. A prediction dated in the future, by a host whose clock is wrong, would move
it away from all others, so such predictions are left out and counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc

from leads import clock
from leads.clock import Clock, Micros
from leads.db.event_log import MAX_CLOCK_SKEW
from leads.messages.wording import counted
from leads.predictions.scan import PredictionScan


class Ahead(NamedTuple):
    """Predictions dated in the future, which are left out: their number, and the latest one's time in µs."""

    predictions: int = 0
    latest: Micros = 0


class Outside(NamedTuple):
    """Predictions of a harm outside a window: how many are older and newer, and the oldest one's time in µs."""

    older: int = 0
    newer: int = 0
    oldest: Micros | None = None


class LoggedWindow(NamedTuple):
    """The predictions with since ≤ `at` < until (µs), to be read in slices."""

    scan: PredictionScan
    since: Micros
    until: Micros
    ahead: Ahead

    @property
    def unreadable(self) -> int:
        """Number of segments that couldn't be read, as far as slices were."""
        return len(self.scan.unreadable)


def read_window(
    folder: Path,
    harm: str,
    *,
    version: str | None = None,
    since: Micros | None = None,
    until: Micros | None = None,
    length: Micros = clock.DAY,
    clock_: Clock = clock.now,
) -> LoggedWindow:
    """Find a window of a harm's predictions; by default the last `length` µs up to its newest one.

    Predictions dated more than five minutes after now are never in it.

    Args:
        folder: the prediction log.
        version: only predictions of this model version.

    Returns:
        A window without predictions if there are none.
    """
    limit = clock_() + MAX_CLOCK_SKEW + 1
    ahead = _ahead(PredictionScan(folder, harm, limit, version=version))
    if until is None:
        # Down to the day of `since`: nothing before it is in the window.
        first = None if since is None else since // clock.DAY * clock.DAY
        newest = _newest(PredictionScan(folder, harm, first, limit, version=version))
        until = limit if newest is None else newest + 1
    until = min(until, limit)
    if since is None:
        since = until - length
    return LoggedWindow(PredictionScan(folder, harm, since, until, version=version), since, until, ahead)


def outside(folder: Path, harm: str, window: LoggedWindow, *, clock_: Clock = clock.now) -> Outside:
    """How many predictions of a harm are not in the window, without those that are dated in the future."""
    older = PredictionScan(folder, harm, None, window.since).extent()
    newer = PredictionScan(folder, harm, window.until, clock_() + MAX_CLOCK_SKEW + 1).extent()
    return Outside(older.rows, newer.rows, older.first)


def _ahead(scan: PredictionScan) -> Ahead:
    found = Ahead()
    for table in scan.slices(["at"]):
        found = Ahead(found.predictions + table.num_rows, int(pc.max(table["at"]).as_py()))
    return found


def _newest(scan: PredictionScan) -> Micros | None:
    """`at` of the newest prediction."""
    for table in scan.slices(["at"], newest_first=True):
        return int(pc.max(table["at"]).as_py())
    return None


def ahead_text(ahead: Ahead) -> str:
    """What was left out, and why.

    >>> ahead_text(Ahead(1, 0))
    '1 prediction dated in the future (1970-01-01T00:00:00Z): a host that scores has a wrong clock'
    """
    what = counted(ahead.predictions, "prediction")
    latest = ("" if ahead.predictions == 1 else "up to ") + clock.to_text(ahead.latest)
    return f"{what} dated in the future ({latest}): a host that scores has a wrong clock"


def empty_remedy(ahead: Ahead) -> str:
    """What to do about a window without predictions."""
    if ahead.predictions:
        return f"The log only has {ahead_text(ahead)}. Correct that clock and score again."
    return "Score something first: run leads serve and POST /v1/score, or let the worker score new events."

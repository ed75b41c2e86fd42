"""The window of the prediction log that a check looks at.

A window ends with the newest prediction. A prediction dated in the future, by a host whose clock is wrong, would move
it away from all others, so such predictions are left out and counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from leads import clock
from leads.clock import Clock, Micros
from leads.db.event_log import MAX_CLOCK_SKEW
from leads.messages.wording import counted
from leads.predictions import log


class Ahead(NamedTuple):
    """Predictions dated in the future, which are left out: their number, and the latest one's time in µs."""

    predictions: int = 0
    latest: Micros = 0


class LoggedWindow(NamedTuple):
    """The predictions with since ≤ `at` < until (µs), as `leads.predictions.log.scan_predictions` returns them.

    Args:
        unreadable: number of segments that can't be read.
    """

    table: pa.Table
    since: Micros
    until: Micros
    unreadable: int
    ahead: Ahead


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
    """Read a window of a harm's predictions; by default the last `length` µs up to its newest one.

    Predictions dated more than five minutes after now are never in it.

    Args:
        folder: the prediction log.
        version: only predictions of this model version.

    Returns:
        A window without rows if there are none.
    """
    limit = clock_() + MAX_CLOCK_SKEW + 1
    ahead = _ahead(folder, harm, version, limit)
    if until is None:
        newest = _newest(folder, harm, version, since, limit)
        until = limit if newest is None else newest + 1
    until = min(until, limit)
    if since is None:
        since = until - length
    scanned = log.scan_predictions(folder, harm, since, until)
    return LoggedWindow(_of_version(scanned.table, version), since, until, len(scanned.unreadable), ahead)


def _ahead(folder: Path, harm: str, version: str | None, limit: Micros) -> Ahead:
    at = _of_version(log.read_predictions(folder, harm, since=limit), version)["at"]
    return Ahead(len(at), int(pc.max(at).as_py())) if len(at) else Ahead()


def _newest(folder: Path, harm: str, version: str | None, since: Micros | None, limit: Micros) -> Micros | None:
    """`at` of the newest prediction before `limit`, searched down to the day of `since`."""
    for day in reversed(log.days(folder, harm)):
        start = clock.from_text(f"{day}T00:00:00Z")
        table = log.read_predictions(folder, harm, start, min(start + clock.DAY, limit))
        newest = pc.max(_of_version(table, version)["at"]).as_py()
        if newest is not None:
            return int(newest)
        if since is not None and start < since:
            break
    return None


def _of_version(table: pa.Table, version: str | None) -> pa.Table:
    return table if version is None else table.filter(pc.field("model_version") == version)


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

"""When a harm's newest prediction was logged."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from leads import clock
from leads.clock import Micros
from leads.predictions import log


def newest_prediction_at(
    folder: Path, harm: str, *, version: str | None = None, since: Micros | None = None
) -> Micros | None:
    """`at` of the newest logged prediction, in µs since epoch; None if there is none.

    Args:
        folder: the prediction log.
        version: only predictions of this model version.
        since: don't search days before this time.
    """
    for day in reversed(log.days(folder, harm)):
        start = clock.from_text(f"{day}T00:00:00Z")
        table = log.read_predictions(folder, harm, start, start + clock.DAY)
        if version is not None:
            table = table.filter(pc.field("model_version") == version)
        newest = pc.max(table["at"]).as_py()
        if newest is not None:
            return int(newest)
        if since is not None and start < since:
            break
    return None

"""Ranks what changed in a window against the four windows before it, from the raw prediction log of this host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from leads import clock
from leads.clock import Micros
from leads.db.model_changes import CHAMPION
from leads.errors import NotEnoughData
from monitoring.drift.check import figures_document
from monitoring.drift.columns import Baseline
from monitoring.drift.comparison import compare
from monitoring.drift.measure import columns_of, limit_of
from monitoring.drift.results import ColumnDrift
from monitoring.summaries.hourly import Describe, HourlySummaries
from monitoring.summaries.sketch import EMPTY, Sketch
from monitoring.summaries.summary import MISSING, Summary, merge
from monitoring.watch.world import World

WINDOWS = 4
# Changes for which it is said where they are.
_LOCATED = 15

OnHour = Callable[[int, int], None]


class Change(NamedTuple):
    """A column that changed.

    Args:
        drift: its comparison with the windows before.
        means: mean of its values, or share missing, in each window, the newest last.
        where: the slice with most of the change of the mean, such as `type=comment`; empty if it is spread.
        of_change: that slice's share of the change.
    """

    drift: ColumnDrift
    means: tuple[float, ...]
    where: str
    of_change: float


class Explanation(NamedTuple):
    """What changed, the most important first; times in µs.

    Args:
        rows: subjects in each window, the newest last.
        notes: lines for people.
    """

    harm: str
    since: Micros
    until: Micros
    rows: tuple[int, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def explain(
    world: World,
    harm: str,
    since: Micros,
    until: Micros,
    *,
    describe: Describe | None = None,
    on_hour: OnHour = lambda done, of: None,
) -> Explanation:
    """Compare a window with the four before it.

    Args:
        since, until: full hours, µs.
        on_hour: called with the number of hours that are read, and of all.

    Raises:
        NotEnoughData: the log of this host has too few predictions in the window, or before it.
        Unavailable: the database or the registry can't be reached.
    """
    notes: dict[str, None] = {}
    length = until - since
    reader = HourlySummaries(
        world.settings,
        world.engine,
        world.host,
        names_of=world.input_names,
        describe=describe,
        slices=world.policies.monitoring.slices,
        ignored_sources=world.policies.monitoring.ignore_sources,
    )
    windows: list[dict[str, Summary]] = []
    newest, hours, done = "", (WINDOWS + 1) * length // clock.HOUR, 0
    for start in range(since - WINDOWS * length, until, length):
        found: dict[str, list[Summary]] = {"": []}
        for hour in range(start, start + length, clock.HOUR):
            for part in reader.read(harm, hour, notes):
                if part.role == CHAMPION:
                    found.setdefault(part.slice, []).append(part.summary)
                    newest = part.version
            done += 1
            on_hour(done, hours)
        windows.append({name: merge(parts) for name, parts in found.items()})
    rows = tuple(window[""].rows for window in windows)
    least = world.policies.monitoring.min_rows
    known = [window for window in windows[:-1] if window[""].rows >= least]
    if rows[-1] < least or not known:
        which = "this window" if rows[-1] < least else f"each of the {WINDOWS} windows before"
        raise NotEnoughData(
            f"The log of this host has fewer than {least:,} subjects of {harm} in {which}.",
            field="harm",
            remedy="Use a longer window (--days) or another one (--until), or explain on the host that scored.",
        )
    changes = _changes(world, harm, newest, since - WINDOWS * length, windows, known)
    return Explanation(harm, since, until, rows, changes, tuple(notes))


def _changes(
    world: World,
    harm: str,
    version: str,
    since: Micros,
    windows: list[dict[str, Summary]],
    known: list[dict[str, Summary]],
) -> tuple[Change, ...]:
    window, before = windows[-1], [one[""] for one in known]
    baseline = Baseline(before, np.ones(len(before)), before if len(before) > 1 else [], of_windows=True)
    compared = compare(window[""], baseline, categories=tuple(window[""].categories.keys() - {"tier"}))
    columns = columns_of(world, harm, version, since, compared, limit_of([compared.p]))
    merged = {name: merge([one[name] for one in known if name in one]) for one in known for name in one}
    return tuple(
        Change(
            column,
            tuple(_mean(one[""], column) for one in windows),
            *(_where(column, window, merged) if i < _LOCATED else ("", 0.0)),
        )
        for i, column in enumerate(columns)
    )


def _mean(summary: Summary, column: ColumnDrift) -> float:
    """The mean of a column's values, or the share missing; NaN for categories."""
    sketch = summary.columns.get(column.input or column.name, EMPTY)
    if column.name.endswith(MISSING) and column.input:
        return sketch.missing / sketch.rows if sketch.rows else float("nan")
    return sketch.mean


def _where(column: ColumnDrift, window: dict[str, Summary], before: dict[str, Summary]) -> tuple[str, float]:
    """The slice in which most of the change of the mean is, and its share of the change."""
    missing = column.name.endswith(MISSING) and bool(column.input)
    name = column.input or column.name
    whole = _part(window[""], window[""], name, missing) - _part(before[""], before[""], name, missing)
    if not whole:
        return "", 0.0
    shares = {
        slice_: (
            _part(window.get(slice_, Summary(0, 0)), window[""], name, missing)
            - _part(before.get(slice_, Summary(0, 0)), before[""], name, missing)
        )
        / whole
        for slice_ in {*window, *before} - {""}
    }
    if not shares:
        return "", 0.0
    most = max(sorted(shares), key=lambda slice_: shares[slice_])
    return (most, shares[most]) if shares[most] >= 0.5 else ("", 0.0)


def _part(summary: Summary, of: Summary, name: str, missing: bool) -> float:
    """What a slice adds to the mean of everything."""
    sketch: Sketch = summary.columns.get(name, EMPTY)
    whole = of.columns.get(name, EMPTY)
    if missing:
        return sketch.missing / whole.rows if whole.rows else 0.0
    return sketch.total / whole.n if whole.n else 0.0


def explanation_document(found: Explanation) -> dict[str, Any]:
    """The explanation for programs."""
    return {
        "harm": found.harm,
        "since": clock.to_text(found.since),
        "until": clock.to_text(found.until),
        "rows": list(found.rows),
        "changes": [
            {
                "column": one.drift.name,
                "changed": one.drift.value > one.drift.threshold,
                "value": one.drift.value,
                "threshold": one.drift.threshold,
                "importance": one.drift.importance,
                "means": [mean if mean == mean else None for mean in one.means],
                "where": one.where or None,
                "share_of_change": one.of_change if one.where else None,
                "before": figures_document(one.drift.reference),
                "window": figures_document(one.drift.current),
            }
            for one in found.changes
        ],
        "notes": list(found.notes),
    }

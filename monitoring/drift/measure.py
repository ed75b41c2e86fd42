"""Measures the drift of a window: one family of tests for all columns, slices and baselines.

A column has drifted if its distance is at least 0.1 and chance explains it too rarely: Benjamini and Hochberg's
procedure over all columns, slices and baselines of the window holds the share of false findings at `RATE`. So the
threshold of a column is the larger of 0.1 and the distance that chance exceeds with the p-value at which the procedure
stops.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.clock import Micros
from leads.estimates.intervals import benjamini_hochberg
from leads.messages.wording import counted
from models.manifest import read_manifest
from models.text.description import DIRECTIONS, LANGUAGE, LENGTH, VOCABULARY
from monitoring.drift import baselines
from monitoring.drift.columns import Baseline, Figures
from monitoring.drift.comparison import Compared, compare
from monitoring.drift.growth import Growth, growing
from monitoring.drift.results import BEFORE, REFERENCE, Against, ColumnDrift, Comparison, Measured, TooFew
from monitoring.drift.statistics import CATEGORIES, MINIMUM
from monitoring.summaries.reference import Reference
from monitoring.summaries.summary import FLAGGED, MISSING, SCORE, Summary, merge
from monitoring.watch.world import Hour, World

Doubles = npt.NDArray[np.float64]
# The share of false findings among all: windows are measured many times a day.
RATE = 0.0002
# Columns that describe texts, by the names under which they are shown.
_TEXT = {LENGTH: "length", LANGUAGE: "language", VOCABULARY: "vocabulary", **dict.fromkeys(DIRECTIONS, "encoder")}


# Inputs that a note names.
_SHOWN = 3


class _Prepared(NamedTuple):
    version: str
    newest: str
    against: Against
    since: Micros | None
    slice: str
    window: Summary
    baseline: Baseline
    alike: str
    compared: Compared


def measure(
    world: World,
    harm: str,
    since: Micros,
    until: Micros,
    *,
    slices: bool = True,
    version: str | None = None,
    min_rows: int | None = None,
) -> Measured:
    """Measure the drift of a window.

    Args:
        slices: also measure each slice that has enough rows.
        version: only predictions of this one.
        min_rows: the fewest rows on each side; default: those of the policy, for everything and for a slice.

    Raises:
        Unavailable: the database or the registry can't be reached.
    """
    policy = world.policies.monitoring
    prepared: list[_Prepared] = []
    too_few: list[TooFew] = []
    for slice_ in ("", *(world.slices(harm, since, until) if slices else ())):
        least = min_rows or (policy.slice_min_rows if slice_ else policy.min_rows)
        found = _prepared(world, harm, since, until, slice_, version, least)
        prepared += [one for one in found if isinstance(one, _Prepared)]
        if not slice_:
            too_few += [one for one in found if isinstance(one, TooFew)]
        else:
            world.forget(harm, slice_)
    return Measured(_judged(world, harm, since, until, prepared), tuple(too_few))


def _prepared(
    world: World, harm: str, since: Micros, until: Micros, slice_: str, version: str | None, least: int
) -> list[_Prepared | TooFew]:
    """The comparisons of a slice."""
    hours = [
        hour for hour in world.hours(harm, since, until, slice_=slice_) if version is None or hour.version == version
    ]
    rows = sum(hour.summary.rows for hour in hours)
    by_version: dict[str, list[Hour]] = {}
    for hour in hours:
        by_version.setdefault(hour.version, []).append(hour)
    if rows < least:
        newest = hours[-1].version if hours else ""
        why = "it has no predictions" if not rows else f"it has {rows:,} subjects, and a verdict needs {least:,}"
        return [TooFew(harm, newest, against, slice_, since, until, rows, why) for against in (REFERENCE, BEFORE)]
    windows = baselines.before(world, harm, since, until, slice_=slice_, hours=hours, min_rows=least)
    window = merge([hour.summary for hour in hours])
    found: list[_Prepared | TooFew] = []
    for one, own in by_version.items():
        found.append(_against_reference(world, harm, since, until, slice_, one, own, windows, least))
    if windows.windows:
        baseline = baselines.of_windows(windows)
        # A version that has other inputs than those before is compared by what they share.
        compared = compare(window, baseline, categories=(LANGUAGE, VOCABULARY))
        found.append(
            _Prepared("", hours[-1].version, BEFORE, windows.since, slice_, window, baseline, windows.alike, compared)
        )
    else:
        why = f"no window before it has {least:,} subjects"
        found.append(TooFew(harm, "", BEFORE, slice_, since, until, rows, why))
    return found


def _against_reference(
    world: World,
    harm: str,
    since: Micros,
    until: Micros,
    slice_: str,
    version: str,
    hours: Sequence[Hour],
    windows: baselines.Replicates,
    least: int,
) -> _Prepared | TooFew:
    window = merge([hour.summary for hour in hours])
    if window.rows < least:
        why = f"version {version} scored {window.rows:,} subjects in it, and a verdict needs {least:,}"
        return TooFew(harm, version, REFERENCE, slice_, since, until, window.rows, why)
    reference = world.reference(harm, version)
    if reference is None:
        why = f"the reference sample of version {version} can't be read"
        return TooFew(harm, version, REFERENCE, slice_, since, until, window.rows, why)
    baseline = baselines.of_reference(reference, slice_, hours, windows)
    if baseline is None or sum(part.rows for part in baseline.parts) < least:
        rows = 0 if baseline is None else sum(part.rows for part in baseline.parts)
        why = f"the reference sample of version {version} has {rows:,} rows, and a verdict needs {least:,}"
        return TooFew(harm, version, REFERENCE, slice_, since, until, window.rows, why)
    compared = compare(window, baseline, categories=(LANGUAGE, VOCABULARY))
    began = _reference_began(world, harm, version, reference)
    return _Prepared(version, version, REFERENCE, began, slice_, window, baseline, "the reference sample", compared)


def _judged(
    world: World, harm: str, since: Micros, until: Micros, prepared: Sequence[_Prepared]
) -> tuple[Comparison, ...]:
    """Judge all columns of all comparisons as one family of tests."""
    if not prepared:
        return ()
    limit = limit_of([one.compared.p for one in prepared])
    return tuple(_comparison(world, harm, since, until, one, limit) for one in prepared)


def limit_of(p: Sequence[Doubles]) -> float:
    """The p-value up to which columns have drifted, of all columns of a window."""
    found = np.concatenate(p)
    rejected = int(benjamini_hochberg(found, rate=RATE).sum())
    # Where the procedure stops; without a finding, where it would find the first.
    return RATE * max(rejected, 1) / max(len(found), 1)


def columns_of(
    world: World, harm: str, version: str, since: Micros | None, compared: Compared, limit: float
) -> tuple[ColumnDrift, ...]:
    """The columns of a comparison, those that drifted first, the most important ones before others.

    Args:
        version: the one to which inputs matter.
        since: where the baseline begins, µs; None if that isn't known.
        limit: from `limit_of`.
    """
    importance = world.importance(harm, version) if version else {}
    grows = growing(world.platform.features, _log_age(world, since))
    _note_cut_off(world, harm, grows.cut_off.intersection(compared.names))
    thresholds = np.maximum(MINIMUM, compared.thresholds(limit))
    columns = [
        _drift(name, method, float(value), float(threshold), float(p), figures, importance, grows)
        for name, method, value, threshold, p, figures in zip(
            compared.names, compared.methods, compared.value, thresholds, compared.p, compared.figures, strict=True
        )
    ]
    return tuple(sorted(_of_encoder_once(columns), key=lambda one: (not one.drifted, -one.rank, one.name)))


def _comparison(world: World, harm: str, since: Micros, until: Micros, of: _Prepared, limit: float) -> Comparison:
    return Comparison(
        harm,
        of.version,
        of.against,
        of.slice,
        since,
        until,
        of.window.rows,
        of.window.predictions,
        of.baseline.rows,
        of.alike,
        columns_of(world, harm, of.newest, of.since, of.compared, limit),
    )


def _drift(
    name: str,
    method: str,
    value: float,
    threshold: float,
    p: float,
    figures: tuple[Figures, Figures],
    importance: Mapping[str, float],
    grows: Growth,
) -> ColumnDrift:
    no_input = name in (SCORE, FLAGGED) or name in _TEXT or method == CATEGORIES
    input_ = "" if no_input else name.removesuffix(MISSING)
    known = importance.get(input_, 0.0) if input_ else 1.0
    return ColumnDrift(_TEXT.get(name, name), input_, method, value, threshold, p, *figures, known, grows.has(name))


def _of_encoder_once(columns: list[ColumnDrift]) -> list[ColumnDrift]:
    """The columns, of the encoder's directions only the one that moved most beyond its threshold."""
    encoder = [one for one in columns if one.name == "encoder"]
    if len(encoder) < 2:
        return columns
    farthest = max(encoder, key=lambda one: one.value / one.threshold)
    return [one for one in columns if one.name != "encoder" or one is farthest]


def _log_age(world: World, since: Micros | None) -> Micros | None:
    """How long the platform's log was at an instant, µs; None if that isn't known."""
    began = world.log_began()
    return None if began is None or since is None else max(since - began, 0)


def _reference_began(world: World, harm: str, version: str, reference: Reference) -> Micros | None:
    """Where a version's reference sample begins; for one of an earlier release, when the version was made."""
    if reference.since is not None:
        return reference.since
    found = world.version(harm, version)
    return None if found is None else read_manifest(found.folder).created_at


def _note_cut_off(world: World, harm: str, inputs: Collection[str]) -> None:
    if inputs:
        shown = [*sorted(inputs)[:_SHOWN], *[f"{len(inputs) - _SHOWN} more"] * (len(inputs) > _SHOWN)]
        world.note(
            f"{harm}: the windows of {counted(len(inputs), 'input')} reach back beyond the log's first event where the "
            f"baseline begins. They are shown, and don't count: {', '.join(shown)}."
        )

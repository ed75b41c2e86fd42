"""Skew: is what was served what training would see? Each logged prediction is derived again, from other files.

What was served came from the online store, through the reader of serving. It is compared with what the segments give,
joined point in time by Feast, evaluated at the same instant by the prediction's own contract. Two things can differ:

- *Computation*: the same rows must give the same numbers, every float32 of the contract's columns (NaN equals NaN). A
  vector's last entry, `text.score`, is the version's own, which its golden rows prove wherever it is loaded.
- *Freshness*: the rows served must be the newest that were visible. Online rows are written a moment after their event
  is, so being behind by less than `lag` is measured and no difference.

Not everything can be proved. A version or a text that is nowhere to be found leaves its part unverifiable; what was
scored after the newest segment is left to the next run. Both are counted, and nothing else is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import open_engine
from leads.errors import NotFound
from leads.predictions import log
from leads.settings import Settings
from monitoring.skew.contracts import Contracts, Fetches
from monitoring.skew.logged import by_version, logged, sampled, segments_reach
from monitoring.skew.proof import prove
from monitoring.skew.tally import ColumnSkew, Lag, Tally

__all__ = ["ColumnSkew", "HarmSkew", "Lag", "SkewResult", "Unverifiable", "check"]

SAMPLE = 20_000
LAG: Micros = 10 * clock.SECOND
_CHUNK = 5_000

OnProgress = Callable[[int, int], None]


class Unverifiable(NamedTuple):
    """Predictions of one version that can't be derived again, and why."""

    version: str
    predictions: int
    why: str


@dataclass(frozen=True)
class HarmSkew:
    """What was found for one harm; times are µs since epoch.

    Args:
        predictions: logged with since ≤ `at` < until; `sampled`: those looked at.
        checked: those derived again; the others are `unverifiable` or `too_new`.
        columns: the most columns that a prediction's contract has.
        differing: checked predictions with at least one difference, detailed in `differences`.
        texts_unverifiable: checked, but for the text's columns: the text judged is not in the log.
        texts_ahead: the text judged became visible after `at`; `rows_ahead`: so did a row.
        links_differ: other links were followed than those stored at `at`, as when a caller gives its own.
        unreadable: segments of the prediction log that had to be left out.
    """

    harm: str
    since: Micros
    until: Micros
    predictions: int
    sampled: int
    checked: int
    columns: int
    differing: int
    differences: tuple[ColumnSkew, ...]
    lag: Lag
    unverifiable: tuple[Unverifiable, ...]
    too_new: int
    texts_unverifiable: int
    texts_ahead: int
    rows_ahead: int
    links_differ: int
    unreadable: int

    @property
    def not_verified(self) -> int:
        """Predictions that can't be derived again."""
        return sum(one.predictions for one in self.unverifiable)


@dataclass(frozen=True)
class SkewResult:
    """What `check` found. `lag_s`: rows that were behind for longer count as differences."""

    harms: tuple[HarmSkew, ...]
    lag_s: float

    @property
    def differs(self) -> bool:
        """The verdict."""
        return any(one.differing for one in self.harms)

    @property
    def checked(self) -> int:
        return sum(one.checked for one in self.harms)


def check(
    settings: Settings,
    harms: Sequence[str] | None = None,
    *,
    until: Micros | None = None,
    length: Micros = clock.DAY,
    sample: int = SAMPLE,
    lag: Micros = LAG,
    registry: Fetches | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> SkewResult:
    """Derive logged predictions again and compare.

    Args:
        harms: default: all that have predictions.
        until: the instant after the window of `length` µs; default: right after each harm's newest prediction.
        sample: of more predictions than this, per harm, a sample is checked; the same one each time.
        lag: µs for which a newer row may have been visible and not served.
        registry: where versions that aren't published here come from; default: the settings' one.
        on_progress: called with (predictions done, predictions known of).

    Raises:
        NotFound: nothing is logged, or no features were derived.
        ConfigurationError: the rows were written by another version of the features.
    """
    contracts = Contracts(settings, registry)
    engine = open_engine(settings)
    found: list[HarmSkew] = []
    try:
        for harm in harms or logged_harms(settings):
            before = sum(one.sampled for one in found)
            told = _from(before, on_progress)
            found.append(_check_harm(settings, engine, contracts, harm, _Limits(until, length, sample, lag), told))
    finally:
        engine.dispose()
    return SkewResult(tuple(found), lag / clock.SECOND)


class _Limits(NamedTuple):
    until: Micros | None
    length: Micros
    sample: int
    lag: Micros


def logged_harms(settings: Settings) -> list[str]:
    """The harms that have predictions.

    Raises:
        NotFound: there are none.
    """
    folder = settings.predictions_dir
    harms = sorted(path.name.removeprefix("harm=") for path in folder.glob("harm=*"))
    harms = [harm for harm in harms if log.days(folder, harm)]
    if not harms:
        raise _nothing_logged("any harm")
    return harms


def _check_harm(
    settings: Settings, engine: Engine, contracts: Contracts, harm: str, limits: _Limits, on_progress: OnProgress
) -> HarmSkew:
    until = limits.until if limits.until is not None else _newest(settings, harm) + 1
    since = until - limits.length
    scanned = log.scan_predictions(settings.predictions_dir, harm, since, until)
    if not scanned.table.num_rows:
        raise _nothing_logged(harm)
    chosen = sampled(scanned.table, limits.sample)
    # Looked up after the log was read: what was logged before is in the segments, or known not to be.
    reach = segments_reach(settings, engine)
    total, tally, unverifiable = chosen.num_rows, Tally(), list[Unverifiable]()
    done = too_new = columns = 0
    for version, table in by_version(chosen):
        contract = contracts.of(harm, version, table)
        if isinstance(contract, str):
            unverifiable.append(Unverifiable(version, table.num_rows, contract))
            on_progress(done := done + table.num_rows, total)
            continue
        columns = max(columns, len(contract.columns))
        for start in range(0, table.num_rows, _CHUNK):
            chunk = logged(table.slice(start, _CHUNK))
            proved = chunk.only(np.flatnonzero(chunk.newest <= reach))
            too_new += len(chunk) - len(proved)
            prove(settings, engine, contract, proved, tally, lag=limits.lag)
            on_progress(done := done + len(chunk), total)
    return _result(harm, (since, until), scanned, total, columns, tally, tuple(unverifiable), too_new)


def _result(
    harm: str,
    window: tuple[Micros, Micros],
    scanned: log.Scanned,
    total: int,
    columns: int,
    tally: Tally,
    unverifiable: tuple[Unverifiable, ...],
    too_new: int,
) -> HarmSkew:
    return HarmSkew(
        harm=harm,
        since=window[0],
        until=window[1],
        predictions=scanned.table.num_rows,
        sampled=total,
        checked=tally.checked,
        columns=columns,
        differing=tally.differing,
        differences=tally.columns(),
        lag=tally.lag(),
        unverifiable=unverifiable,
        too_new=too_new,
        texts_unverifiable=tally.texts_unverifiable,
        texts_ahead=tally.texts_ahead,
        rows_ahead=tally.rows_ahead,
        links_differ=tally.links_differ,
        unreadable=len(scanned.unreadable),
    )


def _newest(settings: Settings, harm: str) -> Micros:
    for day in reversed(log.days(settings.predictions_dir, harm)):
        start = clock.from_text(f"{day}T00:00:00Z")
        table = log.read_predictions(settings.predictions_dir, harm, start, start + clock.DAY)
        if table.num_rows:
            return int(pc.max(table["at"]).as_py())
    raise _nothing_logged(harm)


def _nothing_logged(harm: str) -> NotFound:
    return NotFound(
        f"No prediction of {harm} is logged in that window.",
        field="harm",
        remedy="Score something first: leads serve, then POST /v1/score, or let the worker score new events.",
    )


def _from(before: int, on_progress: OnProgress) -> OnProgress:
    return lambda done, total: on_progress(before + done, before + total)

"""Check for training–serving skew: re-derive logged predictions independently of serving, and compare.

Serving read the features from the online store. The check joins the same rows point-in-time from the segments with
Feast, and evaluates them at the same time under the prediction's contract. Two things can differ:

- *Computation*: the same rows must give the same numbers. Every float32 of the contract's columns must be equal (NaN
  equals NaN). A logged vector's last entry, `text.score`, comes from the version itself; its golden rows verify it.
- *Freshness*: the rows served must be the newest visible. Online rows are written shortly after their event, so rows
  that are out of date by at most `lag` are measured but are no difference.

Some predictions can't be checked: their version can't be found, or they are newer than the segments. For others, all
columns but the text's can be, because the text can't be found. Columns of own feature views are checked if the view
says when its rows became available. The result counts all of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from sqlalchemy.engine import Engine

from features.declared.feature_set import FeatureSet
from features.declared.generations import Generation, live_generation
from features.text_features import TEXT
from leads import clock
from leads.clock import Clock, Micros
from leads.db.engine import open_engine, reading
from leads.errors import NotFound
from leads.predictions import log
from leads.settings import Settings
from models.registry.versions import VersionReader
from monitoring.logged_window import Ahead, LoggedWindow, Outside, empty_remedy, outside, read_window
from monitoring.skew.compare import compare
from monitoring.skew.contracts import Contracts
from monitoring.skew.logged import LoggedPredictions, by_version, sample_predictions, segments_complete_until
from monitoring.skew.own_views import columns_unverifiable, only_verifiable
from monitoring.skew.rederive import rederive
from monitoring.skew.results import HarmSkew, SkewResult, Tally, Unverifiable

SAMPLE = 20_000
LAG: Micros = 10 * clock.SECOND
_CHUNK = 5_000

OnProgress = Callable[[int, int], None]


class _Options(NamedTuple):
    until: Micros | None
    length: Micros
    sample: int
    lag: Micros
    clock: Clock


def check(
    settings: Settings,
    harms: Sequence[str] | None = None,
    *,
    until: Micros | None = None,
    length: Micros = clock.DAY,
    sample: int = SAMPLE,
    lag: Micros = LAG,
    registry: VersionReader | None = None,
    on_progress: OnProgress = lambda done, total: None,
    clock_: Clock = clock.now,
) -> SkewResult:
    """Re-derive logged predictions and compare.

    Args:
        harms: default: all that have predictions.
        until: end of the window, exclusive, µs; default: just after each harm's newest prediction. Predictions dated
            in the future are left out and counted.
        length: length of the window, µs.
        sample: maximum number of predictions to check per harm; each run takes the same sample.
        lag: how long a newer row may have been visible without being served, µs.
        registry: where to find versions that aren't published here; default: the registry in the settings.
        on_progress: called with (predictions done, predictions known so far).

    Raises:
        NotFound: no predictions are logged, or no features have been derived.
        ConfigurationError: the segments were written with another row layout or number of partitions.
    """
    options = _Options(until, length, sample, lag, clock_)
    engine = open_engine(settings)
    with reading(engine) as connection:
        generation = live_generation(connection)
    features = generation.features
    contracts = Contracts(settings, registry, features)
    results: list[HarmSkew] = []
    try:
        for harm in harms or logged_harms(settings):
            done = sum(one.sampled for one in results)
            results.append(
                _check_harm(settings, engine, generation, contracts, harm, options, _offset(on_progress, done))
            )
    finally:
        engine.dispose()
    empty = [one for one in results if not one.predictions]
    # A harm that was not asked for and has no predictions in the window doesn't keep the others from being checked.
    if empty and (harms or len(empty) == len(results)):
        raise _nothing_logged(empty[0].harm, empty_remedy(empty[0].ahead))
    shown = tuple(one for one in results if one.predictions or one.ahead.predictions)
    return SkewResult(shown, lag / clock.SECOND)


def logged_harms(settings: Settings) -> list[str]:
    """The harms that have logged predictions.

    Raises:
        NotFound: there are none.
    """
    folder = settings.predictions_dir
    harms = sorted(path.name.removeprefix("harm=") for path in folder.glob("harm=*"))
    harms = [harm for harm in harms if log.days(folder, harm)]
    if not harms:
        raise _nothing_logged("any harm", empty_remedy(Ahead()))
    return harms


def _check_harm(
    settings: Settings,
    engine: Engine,
    generation: Generation,
    contracts: Contracts,
    harm: str,
    options: _Options,
    on_progress: OnProgress,
) -> HarmSkew:
    window = read_window(
        settings.predictions_dir, harm, until=options.until, length=options.length, clock_=options.clock
    )
    features = generation.features
    logged, sampled = sample_predictions(window.scan, options.sample)
    # Only after the log was read: the rows behind its predictions are then in the segments or known to be too new.
    complete_until = segments_complete_until(settings, engine, features)
    tally, done = Tally(_meanings(features)), 0
    for version, table in by_version(sampled):
        contract = contracts.of(harm, version, table)
        if isinstance(contract, str):
            tally.unverifiable.append(Unverifiable(version, table.num_rows, contract))
            on_progress(done := done + table.num_rows, sampled.num_rows)
            continue
        tally.columns = max(tally.columns, len(contract.columns))
        left_out = columns_unverifiable(settings, contract, features)
        tally.columns_unverifiable.update(left_out)
        for start in range(0, table.num_rows, _CHUNK):
            chunk = LoggedPredictions.from_table(table.slice(start, _CHUNK), features.roles, generation.live_at or 0)
            chunk = only_verifiable(chunk, contract, features, left_out)
            known = chunk.take(np.flatnonzero(chunk.newest_at <= complete_until))
            tally.too_new += len(chunk) - len(known)
            if len(known):
                rederived = rederive(settings, engine, contract, known, features)
                compare(contract, known, rederived, tally, max_lag=options.lag)
            on_progress(done := done + len(chunk), sampled.num_rows)
    others = outside(settings.predictions_dir, harm, window, clock_=options.clock)
    return _result(harm, window, others, logged, sampled.num_rows, tally)


def _meanings(features: FeatureSet) -> dict[str, str]:
    return {one.name: one.meaning for one in features.stored} | {one.name: one.meaning for one in TEXT}


def _result(harm: str, window: LoggedWindow, others: Outside, logged: int, sampled: int, tally: Tally) -> HarmSkew:
    return HarmSkew(
        harm=harm,
        since=window.since,
        until=window.until,
        predictions=logged,
        sampled=sampled,
        checked=tally.checked,
        columns=tally.columns,
        differing=tally.differing,
        differences=tally.differences(),
        lag=tally.lag(),
        unverifiable=tuple(tally.unverifiable),
        too_new=tally.too_new,
        texts_unverifiable=tally.texts_unverifiable,
        columns_unverifiable=tuple(sorted(tally.columns_unverifiable)),
        texts_ahead=tally.texts_ahead,
        rows_ahead=tally.rows_ahead,
        links_differ=tally.links_differ,
        unreadable=window.unreadable,
        ahead=window.ahead,
        outside=others,
    )


def _nothing_logged(harm: str, remedy: str) -> NotFound:
    return NotFound(f"No predictions of {harm} are logged in this window.", field="harm", remedy=remedy)


def _offset(on_progress: OnProgress, before: int) -> OnProgress:
    """Report progress after `before` predictions of earlier harms."""
    return lambda done, total: on_progress(before + done, before + total)

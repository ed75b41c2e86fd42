"""The two sides of a drift check: a version's reference sample and a window of its logged predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leads import clock
from leads.clock import Clock, Micros
from leads.errors import ModelRefused, NotEnoughData, NotFound
from leads.predictions.batch import SCHEMA
from leads.predictions.scan import PredictionScan
from leads.settings import Settings
from models.registry.versions import VersionReader, versions_cache
from monitoring.drift.statistics import Values
from monitoring.logged_window import Ahead, empty_remedy
from monitoring.logged_window import read_window as read_logged

SCORE = "score"
LABEL = "label"
REFERENCE = "reference.parquet"
_INPUTS = ["vector", SCORE]


@dataclass(frozen=True)
class Sample:
    """Rows of a version's inputs, with its score as the last column.

    Args:
        names: (m + 1,) column names.
        rows: (n, m + 1), NaN where missing.
    """

    names: tuple[str, ...]
    rows: Values


@dataclass(frozen=True)
class DriftWindow:
    """The latest prediction for each subject with since ≤ `at` < until (µs).

    Args:
        predictions: number of all predictions in the window, several per subject.
        unreadable: number of segments of the log that can't be read.
        ahead: predictions that were left out because they are dated in the future.
    """

    sample: Sample
    since: Micros
    until: Micros
    predictions: int
    unreadable: int
    ahead: Ahead


def champion(registry: VersionReader, harm: str) -> str:
    """The harm's champion version.

    Raises:
        NotFound: the harm has no champion.
    """
    version = registry.aliases(harm).get("champion")
    if version is None:
        raise NotFound(f"{harm} has no champion yet.", field="harm", remedy=f"Train one: leads train {harm}.")
    return version


def read_reference(settings: Settings, registry: VersionReader, harm: str, version: str) -> Sample:
    """The version's reference sample: held-out inputs stored with it.

    Raises:
        ModelRefused: the version has no readable reference sample.
    """
    path = registry.fetch(harm, version, versions_cache(settings, harm)) / REFERENCE
    try:
        table = pq.read_table(path)
        names = (*(name for name in table.column_names if name not in (SCORE, LABEL)), SCORE)
        columns = [table[name].to_numpy().astype(np.float64) for name in names]
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise ModelRefused(
            f"The reference sample of {harm} version {version} is missing or can't be read.",
            field=str(path),
            remedy=f"Train a new version: leads retrain {harm}.",
        ) from error
    return Sample(names, _finite(np.column_stack(columns)))


def read_window(
    settings: Settings,
    harm: str,
    version: str,
    names: tuple[str, ...],
    *,
    since: Micros | None = None,
    until: Micros | None = None,
    length: Micros = clock.DAY,
    clock_: Clock = clock.now,
) -> DriftWindow:
    """A window of a version's predictions; by default the last `length` µs up to its newest one.

    Args:
        names: the columns of the reference sample.

    Raises:
        NotEnoughData: the version has no predictions in the window.
        ModelRefused: the logged vectors have another length than the version's inputs.
    """
    window = read_logged(
        settings.predictions_dir, harm, version=version, since=since, until=until, length=length, clock_=clock_
    )
    predictions, latest = _latest_per_subject(window.scan)
    if not predictions:
        raise NotEnoughData(
            f"No predictions of {harm} version {version} are logged in this window.",
            field="harm",
            remedy=empty_remedy(window.ahead),
        )
    rows = _rows(latest, names, harm, version)
    return DriftWindow(Sample(names, rows), window.since, window.until, predictions, window.unreadable, window.ahead)


def _latest_per_subject(scan: PredictionScan) -> tuple[int, pa.Table]:
    """The number of predictions, and each subject's latest one.

    Busy subjects are scored at each of their events. Counting each would outweigh quiet subjects, and the rows would
    not be independent, as the thresholds assume. The newest predictions are read first, so that only those of subjects
    that weren't met yet have to be kept.
    """
    predictions, kept = 0, [pa.schema([SCHEMA.field(name) for name in _INPUTS]).empty_table()]
    met = pa.chunked_array([], pa.string())
    for table in scan.slices(["type_id", "subject_id", *_INPUTS], newest_first=True):
        predictions += table.num_rows
        keys = pc.binary_join_element_wise(table["type_id"], table["subject_id"], ":").combine_chunks()
        ids = keys.dictionary_encode().indices.to_numpy(zero_copy_only=False)
        _, newest_first = np.unique(ids[::-1], return_index=True)
        latest = pa.array(np.sort(len(ids) - 1 - newest_first))
        new = latest.filter(pc.invert(pc.is_in(keys.take(latest), value_set=met)))
        met = pa.chunked_array([*met.chunks, keys.take(new)])
        kept.append(table.select(_INPUTS).take(new))
    return predictions, pa.concat_tables(kept[::-1])


def _rows(table: pa.Table, names: tuple[str, ...], harm: str, version: str) -> Values:
    vectors = table["vector"].combine_chunks()
    lengths = pc.unique(pc.list_value_length(vectors)).to_pylist()
    if lengths != [len(names) - 1]:
        logged = " and ".join(map(str, lengths))
        raise ModelRefused(
            f"{harm} version {version} has {len(names) - 1} inputs, but its logged vectors have {logged}.",
            field="vector",
            remedy=f"Train a new version: leads retrain {harm}.",
        )
    inputs = vectors.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, len(names) - 1)
    return _finite(np.column_stack([inputs.astype(np.float64), table[SCORE].to_numpy()]))


def _finite(rows: Values) -> Values:
    """Treat infinite values as missing."""
    rows[~np.isfinite(rows)] = np.nan
    return rows

"""What drift is measured between: a version's reference, and the latest window of the prediction log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from leads import clock
from leads.clock import Micros
from leads.errors import ModelRefused, NotEnoughData, NotFound
from leads.predictions import log
from leads.settings import Settings
from monitoring.drift.statistics import Values

SCORE = "score"
LABEL = "label"
REFERENCE = "reference.parquet"


class Registry(Protocol):
    """`models.registry.registry.Registry`, as far as drift uses it."""

    def aliases(self, harm: str) -> dict[str, str]: ...

    def fetch(self, harm: str, version: str, into: Path) -> Path: ...


@dataclass(frozen=True)
class Sample:
    """Rows of a version's inputs, and its score as the last column.

    Args:
        names: (m + 1,) names of the columns.
        rows: (n, m + 1), NaN where missing.
    """

    names: tuple[str, ...]
    rows: Values


@dataclass(frozen=True)
class Window:
    """The latest prediction of each subject with since ≤ `at` < until.

    Args:
        predictions: how many there were before all but each subject's latest were left out.
        unreadable: segments of the log that could not be read.
    """

    sample: Sample
    since: Micros
    until: Micros
    predictions: int
    unreadable: int


def champion(registry: Registry, harm: str) -> str:
    """The version that answers.

    Raises:
        NotFound: there is none.
    """
    version = registry.aliases(harm).get("champion")
    if version is None:
        raise NotFound(f"{harm} has no champion yet.", field="harm", remedy=f"Train one: leads train {harm}.")
    return version


def read_reference(settings: Settings, registry: Registry, harm: str, version: str) -> Sample:
    """The sample of held-out inputs that the version carries.

    Raises:
        ModelRefused: the version carries none that can be read.
    """
    path = registry.fetch(harm, version, settings.root / "cache" / "versions" / harm) / REFERENCE
    try:
        table = pq.read_table(path)
        names = (*(name for name in table.column_names if name not in (SCORE, LABEL)), SCORE)
        columns = [table[name].to_numpy().astype(np.float64) for name in names]
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise ModelRefused(
            f"The reference of {harm} version {version} can't be read.",
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
) -> Window:
    """The window of a version's predictions; without bounds the last `length` before the newest one.

    Raises:
        NotEnoughData: the version has no prediction there.
        ModelRefused: the logged vectors aren't as long as the version's inputs are many.
    """
    if until is None:
        until = _newest(settings.predictions_dir, harm, version, since) + 1
    if since is None:
        since = until - length
    scanned = log.scan_predictions(settings.predictions_dir, harm, since, until)
    table = scanned.table.filter(pc.field("model_version") == version)
    if not table.num_rows:
        raise _nothing_logged(harm, version)
    rows = _rows(_latest_per_subject(table), names, harm, version)
    return Window(Sample(names, rows), since, until, table.num_rows, len(scanned.unreadable))


def _newest(folder: Path, harm: str, version: str, since: Micros | None) -> Micros:
    for day in reversed(log.days(folder, harm)):
        start = clock.from_text(f"{day}T00:00:00Z")
        table = log.read_predictions(folder, harm, start, start + clock.DAY)
        newest = pc.max(table.filter(pc.field("model_version") == version)["at"]).as_py()
        if newest is not None:
            return int(newest)
        if since is not None and start < since:
            break
    raise _nothing_logged(harm, version)


def _nothing_logged(harm: str, version: str) -> NotEnoughData:
    return NotEnoughData(
        f"No prediction of {harm} version {version} is logged in that window.",
        field="harm",
        remedy="Score something with it first: leads serve, then POST /v1/score, or let the worker score new events.",
    )


def _latest_per_subject(table: pa.Table) -> pa.Table:
    """A busy subject is scored at each of its events; all of them would drown the quiet ones and count as chance."""
    keys = pc.binary_join_element_wise(table["type_id"], table["subject_id"], ":").combine_chunks()
    ids = keys.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    _, newest_first = np.unique(ids[::-1], return_index=True)
    return table.take(pa.array(np.sort(len(ids) - 1 - newest_first)))


def _rows(table: pa.Table, names: tuple[str, ...], harm: str, version: str) -> Values:
    vectors = table["vector"].combine_chunks()
    lengths = pc.unique(pc.list_value_length(vectors)).to_pylist()
    if lengths != [len(names) - 1]:
        raise ModelRefused(
            f"{harm} version {version} has {len(names) - 1} inputs, its logged vectors have {lengths}.",
            field="vector",
            remedy=f"Train a new version: leads retrain {harm}.",
        )
    inputs = vectors.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, len(names) - 1)
    return _finite(np.column_stack([inputs.astype(np.float64), table[SCORE].to_numpy()]))


def _finite(rows: Values) -> Values:
    """An infinite value is as unusable as a missing one."""
    rows[~np.isfinite(rows)] = np.nan
    return rows

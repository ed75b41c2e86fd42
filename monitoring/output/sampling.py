"""A sample of the rows that this host logged, to draw."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from leads.clock import Micros
from leads.db.model_changes import CHAMPION
from leads.predictions.scan import PredictionScan
from leads.settings import Settings
from monitoring.output.evidently_report import Sample
from monitoring.summaries.summary import SCORE

_COLUMNS = ["subject_id", "at", "model_version", "role", "vector", SCORE]


def logged_sample(
    settings: Settings, harm: str, version: str, names: tuple[str, ...], since: Micros, until: Micros, most: int
) -> Sample | None:
    """Predictions of a window, of each subject about one; None if this host has none.

    Args:
        names: the version's inputs; the sample has the score after them.
        most: the most rows; which ones is random, but always the same.
    """
    rng = np.random.default_rng(0)
    kept: list[pa.Table] = []
    drawn: list[np.ndarray] = []
    for table in PredictionScan(settings.predictions_dir, harm, since, until).slices(_COLUMNS):
        own = table.filter((pc.field("model_version") == version) & (pc.field("role") == CHAMPION))
        if not own.num_rows:
            continue
        _, first = np.unique(own["subject_id"].to_numpy(zero_copy_only=False), return_index=True)
        own = own.take(pa.array(first))
        order = rng.random(own.num_rows)
        lowest = np.argsort(order)[:most]
        kept.append(own.select(["vector", SCORE]).take(pa.array(lowest)))
        drawn.append(order[lowest])
        if sum(part.num_rows for part in kept) > 20 * most:
            kept, drawn = _lowest(kept, drawn, most)
    if not kept:
        return None
    (table,), _ = _lowest(kept, drawn, most)
    vectors = table["vector"].combine_chunks()
    if pc.unique(pc.list_value_length(vectors)).to_pylist() != [len(names)]:
        return None
    rows = vectors.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, len(names)).astype(np.float64)
    return Sample((*names, SCORE), np.column_stack([rows, table[SCORE].to_numpy()]))


def _lowest(kept: list[pa.Table], drawn: list[np.ndarray], most: int) -> tuple[list[pa.Table], list[np.ndarray]]:
    """The rows with the lowest numbers among all that were drawn."""
    order = np.concatenate(drawn)
    lowest = np.sort(np.argsort(order, kind="stable")[:most])
    return [pa.concat_tables(kept).take(pa.array(lowest))], [order[lowest]]

"""Evidently's HTML page for a drift verdict."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from leads.files import write_atomic
from leads.processes import QUIET
from monitoring.statistics import METHOD
from monitoring.window import Sample

if TYPE_CHECKING:
    import pandas as pd

# Rendering is most of Evidently's time and grows with the rows; the verdict is computed over all of them.
RENDERED_ROWS = 5_000


def write(path: Path, reference: Sample, current: Sample, thresholds: Mapping[str, float]) -> None:
    """Write the page for every column that has values on both sides and isn't the same constant on both.

    The method and each column's threshold are the verdict's own; of more than `RENDERED_ROWS` rows a sample is shown.
    """
    os.environ.update(QUIET)
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    before, after = _frame(reference), _frame(current)
    names = [name for name in before if _worth_showing(before[name].to_numpy(), after[name].to_numpy())]
    definition = DataDefinition(numerical_columns=names)
    preset = DataDriftPreset(
        columns=names,
        num_method=METHOD,
        per_column_method=dict.fromkeys(names, METHOD),
        per_column_threshold={name: float(thresholds[name]) for name in names},
    )
    with warnings.catch_warnings():
        # Histograms of constant columns divide by zero, which concerns the picture only.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", FutureWarning)
        snapshot = Report([preset], include_tests=True).run(
            Dataset.from_pandas(after[names], data_definition=definition),
            Dataset.from_pandas(before[names], data_definition=definition),
        )
    write_atomic(path, lambda draft: snapshot.save_html(str(draft)))


def _frame(sample: Sample) -> pd.DataFrame:
    import pandas as pd

    rows = sample.rows
    if len(rows) > RENDERED_ROWS:
        rows = rows[np.random.default_rng(0).choice(len(rows), RENDERED_ROWS, replace=False)]
    return pd.DataFrame(rows, columns=list(sample.names))


def _worth_showing(before: np.ndarray, after: np.ndarray) -> bool:
    known = np.concatenate([before[~np.isnan(before)], after[~np.isnan(after)]])
    both = bool((~np.isnan(before)).any() and (~np.isnan(after)).any())
    return both and bool(known.min() < known.max())

"""Evidently's HTML report for a drift verdict."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leads.files import write_atomic
from leads.processes import QUIET
from monitoring.drift.statistics import METHOD
from monitoring.drift.window import SCORE, Sample

if TYPE_CHECKING:
    import pandas as pd

# Evidently spends most of its time on rendering, which grows with the rows. The verdict uses all rows.
RENDERED_ROWS = 5_000


def write(
    path: Path, reference: Sample, current: Sample, thresholds: Mapping[str, float], *, drifted_share: float
) -> None:
    """Write the report on the score and then the inputs, with the same method, thresholds and rule as the verdict.

    It shows a sample of at most `RENDERED_ROWS` rows per side. Every column needs a value on both sides.
    """
    os.environ.update(QUIET)
    from evidently import DataDefinition, Dataset, Report

    inputs = [name for name in reference.names if name != SCORE]
    presets = [_preset([SCORE], thresholds, 1.0), *([_preset(inputs, thresholds, drifted_share)] if inputs else [])]
    definition = DataDefinition(numerical_columns=[SCORE, *inputs])
    with warnings.catch_warnings():
        # Histograms of constant columns divide by zero, which affects only the picture.
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", FutureWarning)
        snapshot = Report(presets, include_tests=True).run(
            Dataset.from_pandas(_frame(current), data_definition=definition),
            Dataset.from_pandas(_frame(reference), data_definition=definition),
        )
    write_atomic(path, lambda draft: snapshot.save_html(str(draft)))


def _preset(names: list[str], thresholds: Mapping[str, float], drifted_share: float) -> Any:
    from evidently.presets import DataDriftPreset

    return DataDriftPreset(
        columns=names,
        drift_share=drifted_share,
        num_method=METHOD,
        per_column_threshold={name: thresholds[name] for name in names},
    )


def _frame(sample: Sample) -> pd.DataFrame:
    import pandas as pd

    rows = sample.rows
    if len(rows) > RENDERED_ROWS:
        rows = rows[np.random.default_rng(0).choice(len(rows), RENDERED_ROWS, replace=False)]
    return pd.DataFrame(rows, columns=list(sample.names))

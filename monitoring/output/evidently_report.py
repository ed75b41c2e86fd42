"""Evidently's HTML report of a window in which predictions drifted.

Evidently draws; the verdicts are ours. Each column has the distance and the threshold that were measured on all rows,
so the report never says otherwise than the page, and the only headline is our verdict.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from leads.files import write_atomic
from leads.processes import QUIET

if TYPE_CHECKING:
    import pandas as pd
    from evidently.core.container import MetricContainer

Matrix = npt.NDArray[np.floating]
# Evidently spends its time, and the file its size, on drawings.
MOST_COLUMNS, MOST_ROWS = 32, 2_000
_METHOD = "lead_serving"
_METHOD_TITLE = "Lead Serving, on all rows"


class Judged(NamedTuple):
    """A column with its distance and the threshold that it was judged by."""

    name: str
    value: float
    threshold: float


class Sample(NamedTuple):
    """Rows to draw.

    Args:
        rows: (n, m) for the m names, NaN where missing.
    """

    names: tuple[str, ...]
    rows: Matrix


_judged: ContextVar[Mapping[str, Judged]] = ContextVar("judged columns of the report that is written")


def write(path: Path, headline: str, columns: Sequence[Judged], reference: Sample, current: Sample) -> int:
    """Write the report; returns the number of columns in it.

    Args:
        headline: the verdict, as Markdown.
        columns: those to draw, most important first, at most `MOST_COLUMNS`. Those that have no value on one side are
            left out.
        reference, current: of more than `MOST_ROWS` rows, some are drawn.
    """
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        # Evidently's imports, and histograms of constant columns, which affect only the picture.
        warnings.simplefilter("ignore")
        from evidently import DataDefinition, Dataset, Report

        frames = [_frame(side) for side in (current, reference)]
        drawn = [column for column in columns if all(frame[column.name].notna().any() for frame in frames)]
        drawn = drawn[:MOST_COLUMNS]
        names = [column.name for column in drawn]
        definition = DataDefinition(numerical_columns=names)
        token = _judged.set({column.name: column for column in drawn})
        try:
            snapshot = Report([_container(headline, names)], include_tests=False).run(
                *(Dataset.from_pandas(frame[names], data_definition=definition) for frame in frames)
            )
        finally:
            _judged.reset(token)
    write_atomic(path, lambda draft: snapshot.save_html(str(draft)))
    return len(drawn)


def _container(headline: str, names: Sequence[str]) -> MetricContainer:
    """What the report shows: the headline, then each column."""
    from evidently.core.container import MetricContainer
    from evidently.legacy.renderers.html_widgets import text_widget
    from evidently.metrics import ValueDrift

    _register()

    class Drift(MetricContainer):  # type: ignore[misc]
        def generate_metrics(self, context: Any) -> Sequence[Any]:
            return [ValueDrift(column=name, method=_METHOD, threshold=_threshold(name)) for name in names]

        def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
            return [text_widget(text=headline), *super().render(context, child_widgets)]

    return Drift(include_tests=False)


def _threshold(name: str) -> float:
    return _judged.get()[name].threshold


def _register() -> None:
    """Tell Evidently our method, which looks up what was measured. Doing it again changes nothing."""
    from evidently.legacy.calculations.stattests import StatTest, register_stattest
    from evidently.legacy.core import ColumnType

    register_stattest(StatTest(_METHOD, _METHOD_TITLE, [ColumnType.Numerical], 0.1), _look_up)


def _look_up(
    reference: pd.Series[float], current: pd.Series[float], type_: object, threshold: float
) -> tuple[float, bool]:
    column = _judged.get()[str(current.name)]
    return column.value, column.value > column.threshold


def _frame(sample: Sample) -> pd.DataFrame:
    import pandas as pd

    rows = sample.rows
    if len(rows) > MOST_ROWS:
        rows = rows[np.sort(np.random.default_rng(0).choice(len(rows), MOST_ROWS, replace=False))]
    known = np.where(np.isfinite(rows), rows, np.nan).astype(np.float64)
    return pd.DataFrame(known, columns=list(sample.names))

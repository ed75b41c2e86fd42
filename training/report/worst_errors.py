"""The worst held-out errors of a version, as a table to read through."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.registry.versions import Cell, Table
from models.version import ModelVersion
from training.data.dataset import Dataset
from training.report.measure import OnTest

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

NAME, WITH_TEXTS = "worst_errors.json", "worst_errors_with_texts.json"
# Of either kind.
_ROWS = 25
_INPUTS = 4
_NO_INPUT = "none moved the score in the wrong direction"
# MLflow's pages show the first four without scrolling.
_COLUMNS = ("subject", "label", "score", "main inputs (log-odds)", "tier", "copies", "source", "type")
_COLUMNS_WITH_TEXTS = (*_COLUMNS[:3], "text", *_COLUMNS[3:])


def worst_errors(version: ModelVersion, data: Dataset, test: OnTest, *, with_texts: bool = False) -> Table:
    """The highest scores of rows that don't violate and the lowest of rows that do, worst first, up to 25 of each.

    The column `tier` says which of them the tiers get wrong. Rows with equal texts appear once. The main inputs are
    those that moved the score furthest in the wrong direction.

    Args:
        with_texts: add a column with each row's text.
    """
    high = _worst(test, np.flatnonzero(~test.labels), descending=True)
    low = _worst(test, np.flatnonzero(test.labels), descending=False)
    chosen = np.concatenate((high, low))
    parts = version.contributions(test.scores.vector[chosen])[:, :-1]
    # Positive where an input moved the score in the wrong direction.
    wrong = parts * np.where(test.labels[chosen], -1, 1)[:, None]
    rows = []
    for i, of in enumerate(chosen.tolist()):
        inputs = _inputs(version.input_names, test.scores.vector[of], parts[i], wrong[i])
        rows.append(_row(version, data, test, of, inputs, with_texts=with_texts))
    return Table(_COLUMNS_WITH_TEXTS if with_texts else _COLUMNS, tuple(rows))


def _worst(test: OnTest, among: Ints, *, descending: bool) -> Ints:
    """Up to 25 of these rows, one of each group."""
    scores = test.scores.score[among]
    ordered = among[np.argsort(-scores if descending else scores, kind="stable")]
    _, first = np.unique(test.groups[ordered], return_index=True)
    return ordered[np.sort(first)[:_ROWS]]


def _row(
    version: ModelVersion, data: Dataset, test: OnTest, of: int, inputs: str, *, with_texts: bool
) -> tuple[Cell, ...]:
    row, score = data.rows[int(test.at[of])], float(test.scores.score[of])
    return (
        row.subject.key if row.subject else f"text {row.group:016x}",
        "violating" if row.violating else "not violating",
        round(score, 4),
        *((row.text,) if with_texts else ()),
        inputs,
        version.tier(score),
        int((test.groups == test.groups[of]).sum()),
        row.source,
        row.type_id or "text",
    )


def _inputs(names: tuple[str, ...], values: Floats, parts: Floats, wrong: Floats) -> str:
    """The inputs that moved a margin furthest in the wrong direction: `item.reports_7d = 4 (+1.21)`."""
    strongest = [j for j in np.argsort(-wrong, kind="stable")[:_INPUTS].tolist() if wrong[j] > 0]
    shown = (f"{names[j]} = {_value(float(values[j]))} ({float(parts[j]):+.2f})" for j in strongest)
    return "; ".join(shown) or _NO_INPUT


def _value(value: float) -> str:
    return "missing" if np.isnan(value) else f"{value:.4g}"

"""How long drift takes, and how much memory, compared with plain Evidently on the same rows; and what sketches cost.

Each side runs in a process of its own: python -m benchmarks.monitoring.speed SIDE ROWS
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.homes import sqlite_settings
from benchmarks.memory import MemoryWatch
from benchmarks.own_process import run_json
from benchmarks.report import Measure, at_most
from monitoring.drift.columns import Baseline
from monitoring.drift.comparison import Compared, compare
from monitoring.drift.statistics import MINIMUM
from monitoring.summaries.sketch import sketch
from monitoring.summaries.summary import Summary, merge, pack, unpack
from monitoring.summaries.tally import Rows

Floats = npt.NDArray[np.float32]

COLUMNS = 50
_HOURS = 24
_CHUNK = 100_000
_MODULE = "benchmarks.monitoring.speed"
# A third of the columns has moved.
_MOVED = 0.3


def speed(quick: bool) -> Sequence[Measure]:
    """200,000 rows of 50 columns by both, 10,000,000 rows by summaries, and the error of sketches."""
    rows, many = (20_000, 200_000) if quick else (200_000, 10_000_000)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        settings = sqlite_settings(Path(temporary))
        ours, theirs, large, error = (
            run_json(settings, _MODULE, side, str(n))
            for side, n in (("ours", rows), ("evidently", rows), ("many", many), ("error", rows))
        )
    size, largest = f"{rows:,} × {COLUMNS}", f"{many:,} × {COLUMNS}"
    return [
        Measure(f"drift of {size}", ours["s"], "s"),
        Measure(f"plain Evidently on {size}", theirs["s"], "s"),
        at_most(f"drift of {size}, of Evidently's time", ours["s"] / theirs["s"], "×", 1 / 3),
        at_most(f"drift of {size}, memory", ours["mb"], "MB", 1_000),
        Measure(f"plain Evidently on {size}, memory", theirs["mb"], "MB"),
        Measure(f"drift of {largest} by summaries", large["s"], "s"),
        at_most(f"drift of {largest} by summaries, memory", large["mb"], "MB", 1_500),
        at_most("quantiles of sketches, largest relative error", error["quantile"], "", 0.04),
        at_most("distances from sketches, largest error", error["distance"], "deviations", 0.02),
        Measure("columns that sketches judge differently", error["verdicts"], "columns"),
    ]


def made(rows: int, seed: int, *, moved: bool = False) -> Floats:
    """(rows, COLUMNS) of the kinds that features are: counts, heavy tails, shares, with missing values."""
    random = np.random.default_rng(seed)
    found = np.empty((rows, COLUMNS), np.float32)
    for j in range(COLUMNS):
        shift = _MOVED if moved and j % 3 == 0 else 0.0
        kind = j % 5
        if kind == 0:
            found[:, j] = random.poisson(0.5 + j / 10 + shift, rows)
        elif kind == 1:
            found[:, j] = np.floor(random.lognormal(2 + shift, 1, rows))
        elif kind == 2:
            found[:, j] = random.beta(2 + shift, 5, rows)
        elif kind == 3:
            found[:, j] = random.random(rows) < 0.03 + shift / 10
        else:
            found[:, j] = random.normal(shift, 1, rows)
        if j % 7 == 0:
            found[random.random(rows) < 0.2, j] = np.nan
    return found


def _names() -> tuple[str, ...]:
    return tuple(f"item.column_{j}" for j in range(COLUMNS))


def _summary(matrix: Floats) -> Summary:
    rows = len(matrix)
    scores = 1 / (1 + np.exp(-np.nan_to_num(matrix[:, 4].astype(np.float64))))
    return Rows(scores, ["none"] * rows, [None] * rows, _names(), matrix).summary(np.arange(rows), rows)


def _compared(reference: Floats, current: Floats) -> Compared:
    parts = [_summary(part) for part in np.array_split(reference, _HOURS)]
    hours = [_summary(part) for part in np.array_split(current, _HOURS)]
    return compare(merge(hours), Baseline([merge(parts)], np.ones(1), hours, of_windows=False))


def _ours(rows: int) -> dict[str, float]:
    reference, current = made(rows, 0), made(rows, 1, moved=True)
    watch, began = MemoryWatch(), time.perf_counter()
    compared = _compared(reference, current)
    drifted = int((compared.value > np.maximum(MINIMUM, compared.thresholds(1e-5))).sum())
    return {"s": time.perf_counter() - began, "mb": watch.stop(), "drifted": drifted}


def _evidently(rows: int) -> dict[str, float]:
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    reference, current = (pd.DataFrame(made(rows, seed, moved=seed == 1), columns=list(_names())) for seed in (0, 1))
    watch, began = MemoryWatch(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Report([DataDriftPreset()]).run(Dataset.from_pandas(current), Dataset.from_pandas(reference))
    return {"s": time.perf_counter() - began, "mb": watch.stop()}


def _many(rows: int) -> dict[str, float]:
    """As hosts do it: each hour's rows become stored bytes, which are read and added up."""
    watch, began = MemoryWatch(), time.perf_counter()
    stored = [pack(_summary(chunk)) for chunk in _chunks(rows)]
    window = merge([unpack(raw) for raw in stored])
    reference = _summary(made(5_000, 0))
    compared = compare(window, Baseline([reference], np.ones(1), [unpack(raw) for raw in stored], of_windows=False))
    compared.thresholds(1e-5)
    return {"s": time.perf_counter() - began, "mb": watch.stop()}


def _chunks(rows: int) -> Iterator[Floats]:
    for start in range(0, rows, _CHUNK):
        yield made(min(_CHUNK, rows - start), start + 1, moved=True)


def _error(rows: int) -> dict[str, float]:
    """The largest errors of quantiles, and of distances as Evidently computes them, and how many verdicts differ."""
    import pandas as pd
    from evidently.legacy.calculations.stattests import wasserstein_stat_test
    from evidently.legacy.core import ColumnType

    reference, current = made(rows, 0), made(rows, 1, moved=True)
    compared = _compared(reference, current)
    ours = dict(zip(compared.names, compared.value.tolist(), strict=True))
    shown = dict(zip(compared.names, compared.methods, strict=True))
    quantile = distance = 0.0
    verdicts = 0
    for j, name in enumerate(_names()):
        known = [side[:, j][np.isfinite(side[:, j])].astype(np.float64) for side in (reference, current)]
        made_of = sketch(known[1])
        for q in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
            exact = float(np.quantile(known[1], q, method="inverted_cdf"))
            if abs(exact) > 0.001:
                quantile = max(quantile, abs(made_of.quantile(q) - exact) / abs(exact))
        if not shown.get(name, "").endswith("Wasserstein distance"):
            continue
        exact, _ = wasserstein_stat_test.func(pd.Series(known[0]), pd.Series(known[1]), ColumnType.Numerical, MINIMUM)
        distance = max(distance, abs(ours[name] - float(exact)))
        verdicts += (ours[name] > MINIMUM) != (float(exact) > MINIMUM)
    return {"quantile": quantile, "distance": distance, "verdicts": float(verdicts)}


_SIDES = {"ours": _ours, "evidently": _evidently, "many": _many, "error": _error}

if __name__ == "__main__":
    print(json.dumps(_SIDES[sys.argv[1]](int(sys.argv[2]))))

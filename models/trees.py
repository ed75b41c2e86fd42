"""Predicts margins through XGBoost's C API. For a few rows its Python wrapper would take longer than the trees."""

from __future__ import annotations

import ctypes
import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost
from xgboost import core

Floats = npt.NDArray[np.float32]
# Margins of all trees; NaN marks a missing value.
_OPTIONS = (
    b'{"type": 1, "training": false, "iteration_begin": 0, "iteration_end": 0, "missing": NaN, "strict_shape": false, '
    b'"cache_id": 0}'
)


class _Local(threading.local):
    """A thread's stand-in for a matrix. XGBoost would make one per call, which takes longer than a few rows."""

    def __init__(self) -> None:
        self.proxy = core._ProxyDMatrix()


_local = _Local()


def margins(booster: xgboost.Booster, matrix: Floats) -> npt.NDArray[np.float64]:
    """(n,) margins, as `booster.inplace_predict(matrix, predict_type="margin")` gives them. Thread-safe.

    Args:
        matrix: (n, m) float32, C-contiguous, n > 0.

    Raises:
        xgboost.core.XGBoostError: the matrix doesn't fit the booster.
        ValueError: the booster gives more than one margin per row.
    """
    rows, columns = matrix.shape
    # NumPy's array interface, as XGBoost documents it for XGBoosterPredictFromDense.
    data = b'{"data": [%d, true], "shape": [%d, %d], "strides": null, "typestr": "<f4", "version": 3}' % (
        matrix.__array_interface__["data"][0],
        rows,
        columns,
    )
    shape = ctypes.POINTER(ctypes.c_uint64)()
    dimensions = ctypes.c_uint64()
    found = ctypes.POINTER(ctypes.c_float)()
    library: Any = core._LIB
    core._check_call(
        library.XGBoosterPredictFromDense(
            booster.handle,
            data,
            _OPTIONS,
            _local.proxy.handle,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(found),
        )
    )
    numbers = math.prod(shape[: dimensions.value])
    if numbers != rows:
        raise ValueError(f"the booster gives {numbers} margins for {rows} rows")
    # A copy, because the next call in this thread overwrites the booster's own memory.
    return np.frombuffer(ctypes.string_at(found, 4 * rows), np.float32).astype(np.float64)

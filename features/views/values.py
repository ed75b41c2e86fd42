"""Reads and writes the numbers of own views as Feast stores them: one serialised `Value` per entity and column.

The format is specified in Feast's `protos/feast/types/Value.proto`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from features.layout import LARGEST, Matrix
from features.online.codec import Column, Wanted, instant, read_varint, varint
from features.views.declaration import Dtype
from features.views.layout import OwnView

Doubles = npt.NDArray[np.float64]

# The first byte of a `Value` of a type. Those of numbers with a fixed size have only the number after it.
_INT32, _INT64, _BOOL = 0x18, 0x20, 0x38
_DOUBLE = (0x29, np.dtype([("head", "u1"), ("number", "<f8")]))
_FLOAT = (0x35, np.dtype([("head", "u1"), ("number", "<f4")]))


def wanted_of(view: OwnView, keys: Sequence[str]) -> Wanted:
    """Read these entities' values, and when they hold from."""
    return Wanted(view, keys, view.columns, timed=True)


def stored_rows(view: OwnView, columns: Sequence[Column]) -> Matrix:
    """(n, width) the rows of n entities, of NaN where nothing is stored.

    Args:
        columns: what a store has for `wanted_of`.
    """
    *values, times = columns
    at = np.array([instant(raw) for raw in times], np.int64)
    found = numbers([*chain.from_iterable(values)]).reshape(len(values), len(times))
    return view.rows(at, found.T)


def numbers(values: Column) -> Doubles:
    """(n,) the numbers in n serialised `Value`s; NaN for null, and for what isn't a number."""
    found = np.full(len(values), np.nan)
    heads = np.array([raw[0] if raw else 0 for raw in values], np.uint8)
    for head, dtype in (_DOUBLE, _FLOAT):
        which = np.flatnonzero(heads == head)
        joined = b"".join([values[i] or b"" for i in which.tolist()])
        if len(which) and len(joined) == len(which) * dtype.itemsize:
            found[which] = np.frombuffer(joined, dtype)["number"]
    for i in np.flatnonzero((heads == _INT64) | (heads == _INT32) | (heads == _BOOL)).tolist():
        found[i] = _integer(values[i] or b"")
    return found


def _integer(raw: bytes) -> float:
    number, end = read_varint(raw, 1)
    if number < 0 or end != len(raw):
        return np.nan
    return float(number - (1 << 64) if number >= 1 << 63 else number)


def value_of(dtype: Dtype, number: float | int | bool | None) -> bytes:
    """A serialised `Value` of a column's type; Feast's null is empty, as for NaN.

    >>> value_of("int64", 300).hex(), value_of("bool", True).hex(), value_of("float64", None)
    ('20ac02', '3801', b'')
    """
    if number is None or number != number:
        return b""
    number = max(-LARGEST, min(number, LARGEST)) if isinstance(number, float) else number
    match dtype:
        case "float64":
            return struct.pack("<Bd", _DOUBLE[0], number)
        case "float32":
            return struct.pack("<Bf", _FLOAT[0], number)
        case _:
            head = {"int64": _INT64, "int32": _INT32, "bool": _BOOL}[dtype]
            return bytes((head,)) + varint(int(number) % (1 << 64))

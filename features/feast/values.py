"""Encodes and decodes Feast's serialised numbers and times, in bulk.

The format of a `Value` is specified in Feast's `protos/feast/types/Value.proto`, that of a `Timestamp` by protobuf.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from features.layout import LARGEST
from features.views.declaration import Dtype
from leads import clock
from leads.clock import Micros

Doubles = npt.NDArray[np.float64]

# The first byte of a `Value` of a type. Those of numbers with a fixed size have only the number after it.
_SECONDS, _NANOS = b"\x08", b"\x10"
_INT32, _INT64, _BOOL = 0x18, 0x20, 0x38
_DOUBLE = (0x29, np.dtype([("head", "u1"), ("number", "<f8")]))
_FLOAT = (0x35, np.dtype([("head", "u1"), ("number", "<f4")]))


def numbers(values: Sequence[bytes | None]) -> Doubles:
    """(n,) the numbers in n serialised `Value`s; NaN for null, and for what isn't a number."""
    given = [raw for raw in values if raw]
    if len(given) == len(values) and set(map(len, given)) == {_DOUBLE[1].itemsize}:
        # Usually all are doubles.
        doubles = np.frombuffer(b"".join(given), _DOUBLE[1])
        if (doubles["head"] == _DOUBLE[0]).all():
            numbers_: Doubles = doubles["number"]
            return numbers_
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


def timestamp(at: Micros) -> bytes:
    """A serialised `Timestamp`."""
    seconds, micros = divmod(at, clock.SECOND)
    return _SECONDS + varint(seconds) + (_NANOS + varint(1_000 * micros) if micros else b"")


# Values that were written together often have the same time.
@lru_cache(maxsize=4096)
def instant(raw: bytes | None) -> Micros:
    """The time in a serialised `Timestamp`; 0 if there is none, or if it is malformed."""
    seconds, end = read_varint(raw, 1) if raw and raw[:1] == _SECONDS else (0, 0)
    if raw is None or seconds < 0:
        return 0
    nanos, _ = read_varint(raw, end + 1) if raw[end : end + 1] == _NANOS else (0, 0)
    return seconds * clock.SECOND + nanos // 1_000


def read_varint(raw: bytes, start: int) -> tuple[int, int]:
    """A protobuf varint that starts here, and where it ends; (-1, start) if it doesn't end."""
    number = shift = 0
    # A protobuf varint is at most ten bytes long.
    for at in range(start, min(len(raw), start + 10)):
        number |= (raw[at] & 0x7F) << shift
        shift += 7
        if not raw[at] & 0x80:
            return number, at + 1
    return -1, start


def varint(number: int) -> bytes:
    """Protobuf's variable-length integer.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)

"""What the columns of an own view's Parquet source must hold, so that the online store keeps the values as they are.

Missing numbers are null or NaN. Numbers beyond what is served are limited when they are read; see `OwnView.limited`.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.views.declaration import Dtype, ViewDeclaration
from leads.errors import ConfigurationError

_INTEGERS: dict[Dtype, tuple[int, int]] = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def times_of(declared: ViewDeclaration) -> tuple[str, ...]:
    """The columns with times."""
    return (declared.timestamp,) if declared.available is None else (declared.timestamp, declared.available)


def check_columns(view: str, declared: ViewDeclaration, path: Path, schema: pa.Schema) -> None:
    """Check that a file has the columns, with types that fit.

    Raises:
        ConfigurationError: it doesn't.
    """
    for name in (declared.join_key, *times_of(declared), *declared.columns):
        if schema.names.count(name) != 1:
            raise invalid_source(view, path, f"has {'more than one' if name in schema.names else 'no'} column {name}")
    key = declared.join_key
    if not _is_key(type_ := schema.field(key).type):
        raise invalid_source(view, path, f"has {type_} in the column {key}, not strings", "Write the keys as strings.")
    for name in times_of(declared):
        if not pa.types.is_timestamp(type_ := schema.field(name).type):
            remedy = f"Write timestamps. In pandas: df[{name!r}] = pd.to_datetime(df[{name!r}], utc=True)"
            raise invalid_source(view, path, f"has {type_} in the column {name}, not timestamps", remedy)
    for name, column in declared.columns.items():
        if not _fits(column.dtype, type_ := schema.field(name).type):
            why = f"has {type_} in the column {name}, not {column.dtype}"
            raise invalid_source(view, path, why, _remedy(name, column.dtype, type_))


def check_range(view: str, declared: ViewDeclaration, path: Path, table: pa.Table) -> None:
    """Check that columns of whole numbers hold none that is too large for the declared type.

    Raises:
        ConfigurationError: one does.
    """
    for name, column in declared.columns.items():
        if column.dtype not in _INTEGERS or pa.types.is_null(table[name].type):
            continue
        low, high = _INTEGERS[column.dtype]
        found = pc.min_max(table[name]).as_py()
        for value in (found["min"], found["max"]):
            if value is not None and not low <= value <= high:
                remedy = f"Declare the column as {'Float64' if column.dtype == 'int64' else 'Int64'} under a new name."
                raise invalid_source(view, path, f"has {value} in the column {name}, not {column.dtype}", remedy)


def invalid_source(
    view: str, path: Path, why: str, remedy: str = "Correct the file, or the view's definition."
) -> ConfigurationError:
    """The error that a view's source isn't valid, to raise."""
    return ConfigurationError(
        f"The Parquet source of the view {view} isn't valid: {path} {why}.", field="LEADS_FEATURE_VIEWS", remedy=remedy
    )


def _is_key(type_: pa.DataType) -> bool:
    """Whether values are strings, or whole numbers, which are the same key as their digits."""
    if pa.types.is_dictionary(type_):
        return _is_key(type_.value_type)
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_integer(type_))


def _fits(dtype: Dtype, type_: pa.DataType) -> bool:
    """Whether the online store, which keeps values of the dtype, keeps values of a file's type as they are."""
    if pa.types.is_null(type_):
        # Every value is missing.
        return True
    match dtype:
        case "bool":
            return bool(pa.types.is_boolean(type_))
        case "int32" | "int64":
            return bool(pa.types.is_integer(type_))
        case _:
            return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _remedy(name: str, dtype: Dtype, type_: pa.DataType) -> str:
    if dtype in _INTEGERS and pa.types.is_floating(type_):
        # pandas makes this of whole numbers as soon as one is missing.
        return (
            f"Declare the column as Float64 under a new name, or write whole numbers. In pandas: "
            f'df[{name!r}] = df[{name!r}].astype("Int64")'
        )
    return "Correct the file, or the view's definition."

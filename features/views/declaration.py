"""What is recorded of a feature view of the user's own, so that only `leads features` needs its Feast definition."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec
from pydantic import Field

from leads.yaml_files import Strict

MAX_VIEWS, MAX_COLUMNS = 50, 500
Dtype = Literal["float32", "float64", "int32", "int64", "bool"]


class ColumnDeclaration(Strict):
    """A numeric column of a view.

    Args:
        meaning: completes the sentence "The subject was flagged because of …".
        default: whether every harm's contract has it.
    """

    dtype: Dtype
    meaning: str
    unit: str = ""
    default: bool = True


class ViewDeclaration(Strict):
    """A feature view of the user's own.

    Args:
        join_key: the column with the keys of its entities.
        columns: the numeric columns by name.
        path: absolute path of the Parquet file, or of the folder with the files.
        source: the name of the Parquet source in Feast.
        timestamp: the column that says when a value holds from.
        available: the column that says when a row became available; None if there is none.
        max_age_s: the view's ttl in seconds; None if it has none.
        push_source: the name of the push source in Feast; None if there is none.
    """

    join_key: str
    columns: dict[str, ColumnDeclaration] = Field(default_factory=dict)
    path: str
    source: str
    timestamp: str
    available: str | None = None
    max_age_s: float | None = None
    push_source: str | None = None

    def definition(self, view: str, column: str) -> str:
        """A hash of where a column's values come from. Moving the Parquet file doesn't change it."""
        dtype = self.columns[column].dtype
        said = [view, column, dtype, self.join_key, self.source, self.timestamp, self.available]
        return hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:12]

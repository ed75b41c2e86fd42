"""Logged predictions as arrays, and the time up to which the segments can be compared with them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from heapq import nsmallest
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy.engine import Engine

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.layout import Instants, Matrix
from features.links import Links
from features.offline.segments import segments_of
from features.partition import Partition
from leads import clock
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.events import Subject
from leads.predictions.batch import SCHEMA
from leads.predictions.scan import PredictionScan
from leads.settings import Settings

# In `row_at`, for a role that didn't exist when the prediction was made.
NOT_READ = -1
# How long it takes at most until every process reads the rows of features that have become live.
NOTICED: Micros = 10 * clock.SECOND
_NO_LIMIT: Micros = np.iinfo(np.int64).max


@dataclass(frozen=True)
class LoggedPredictions:
    """n predictions whose vectors have the same length.

    Args:
        at: (n,) µs since epoch.
        row_at: (n, roles) when each row served became visible, µs since epoch; 0 without a row, or `NOT_READ`.
        vector: (n, m) float32, the logged vectors.
        text_hash: n hashes of the texts scored; 0 without a text.
        earlier: (n,) whether they were served from the rows of an earlier generation of features. These have the same
            values, but other events changed them.
    """

    subjects: list[Subject]
    ids: list[str]
    at: Instants
    row_at: Instants
    links: list[Links]
    vector: Matrix
    text_hash: list[int]
    earlier: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.subjects)

    @classmethod
    def from_table(cls, table: pa.Table, roles: Collection[str], live_at: Micros = 0) -> LoggedPredictions:
        """From rows of the prediction log, as grouped by `by_version`.

        Args:
            roles: those of today's features. Rows of roles that didn't exist are not compared, and of predictions that
                were logged without the names of their roles, only rows of built-in ones if their number has changed.
            live_at: when the features that are live now became so; services notice a little later.
        """
        subjects = zip(table["type_id"].to_pylist(), table["subject_id"].to_pylist(), strict=True)
        return cls(
            subjects=[Subject(*subject) for subject in subjects],
            ids=table["prediction_id"].to_pylist(),
            at=table["at"].to_numpy().astype(np.int64),
            row_at=_row_at(table, roles),
            links=[Links(*links) for links in table["links"].to_pylist()],
            vector=_matrix(table, "vector"),
            text_hash=table["text_hash"].to_pylist(),
            earlier=np.asarray(table["scored_at"].to_numpy().astype(np.int64) < live_at + NOTICED) & (live_at > 0),
        )

    @property
    def newest_at(self) -> Instants:
        """(n,) `at`, or the newest row's time where that is later; the segments must be complete up to then."""
        newest: Instants = np.maximum(self.at, self.row_at.max(axis=1))
        return newest

    def take(self, indices: npt.NDArray[np.intp]) -> LoggedPredictions:
        """The predictions at the given indices."""
        return LoggedPredictions(
            [self.subjects[i] for i in indices],
            [self.ids[i] for i in indices],
            self.at[indices],
            self.row_at[indices],
            [self.links[i] for i in indices],
            self.vector[indices],
            [self.text_hash[i] for i in indices],
            self.earlier[indices],
        )


def sample_predictions(scan: PredictionScan, size: int) -> tuple[int, pa.Table]:
    """The number of predictions, and at most `size` of them, ordered by `at`.

    Chosen by a hash of their ids, so each run takes the same. First only ids are read, then the rows that were chosen.
    """
    total, chosen = 0, list[tuple[bytes, str]]()
    for table in scan.slices(["prediction_id"]):
        total += table.num_rows
        ids = table["prediction_id"].to_pylist()
        chosen = nsmallest(size, chain(chosen, ((_digest(one), one) for one in ids)))
    ids = pa.array([one for _, one in chosen], pa.string())
    rows = [table.filter(pc.is_in(table["prediction_id"], value_set=ids)) for table in scan.slices()]
    return total, pa.concat_tables([SCHEMA.empty_table(), *rows])


def _digest(id_: str) -> bytes:
    return hashlib.blake2b(id_.encode(), digest_size=8).digest()


def by_version(table: pa.Table) -> list[tuple[str, pa.Table]]:
    """Predictions grouped by version, contract, roles and vector length: (version, rows in the table's order)."""
    lengths = [pc.list_value_length(table[name]).cast(pa.string()) for name in ("vector", "row_at", "links")]
    roles = pc.fill_null(table["row_roles"], "")
    keys = pc.binary_join_element_wise(table["model_version"], table["contract_hash"], roles, *lengths, "\0")
    versions = table["model_version"].to_pylist()
    groups: dict[str, list[int]] = {}
    for i, key in enumerate(keys.to_pylist()):
        groups.setdefault(key, []).append(i)
    return [(versions[rows[0]], table.take(pa.array(rows))) for _, rows in sorted(groups.items())]


def segments_complete_until(settings: Settings, engine: Engine, features: FeatureSet) -> Micros:
    """The segments contain every row that became visible up to this time, in all partitions. µs since epoch.

    Raises:
        ConfigurationError: the segments were written with another row layout or number of partitions.
    """
    count = settings.partitions
    offset = min(segments_of(settings, Partition(i, count), features).manifest().offset for i in range(count))
    with reading(engine) as connection:
        if offset >= event_log.head(connection).offset:
            return _NO_LIMIT
        return event_log.visible_at(connection, offset)


def logged_roles(table: pa.Table) -> list[str] | None:
    """The roles whose rows predictions grouped by `by_version` were made from; None if their names weren't logged."""
    names = table["row_roles"][0].as_py()
    return None if names is None else names.split(",")


def _row_at(table: pa.Table, roles: Collection[str]) -> Instants:
    """When the row of each of today's roles became visible."""
    logged: Instants = _matrix(table, "row_at")
    names = logged_roles(table)
    if names is None:
        if logged.shape[1] == len(roles):
            return logged
        names = list(BUILTIN.roles)
    found: Instants = np.full((len(logged), len(roles)), NOT_READ, np.int64)
    for place, role in enumerate(roles):
        if role in names:
            found[:, place] = logged[:, names.index(role)]
    return found


def _matrix(table: pa.Table, name: str) -> Any:
    values = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return values.reshape(table.num_rows, -1)

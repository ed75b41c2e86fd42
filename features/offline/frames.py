"""Point-in-time frames: features as visible at given times, joined over the segments by Feast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.contract import FeatureContract
from features.evaluate.columns import evaluate
from features.feast.store import known_warnings_ignored, open_store
from features.layout import JOIN_KEYS, ROLES, Instants, Layout, Matrix, missing, packed_name, row_instants
from features.links import Links, links_of
from leads.errors import NotFound
from leads.events import Subject
from leads.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore


@dataclass(frozen=True)
class Frame:
    """`matrix` (n, columns) float32; `row_at` (n, roles) µs when the rows behind it became visible, 0 for none."""

    matrix: Matrix
    row_at: Instants


@dataclass(frozen=True)
class StoredRows:
    """Rows at given times: packed by role (n, width), when they became visible (n, roles) µs, and their links."""

    packed: dict[str, Matrix]
    row_at: Instants
    links: list[Links]


def point_in_time(
    settings: Settings,
    contract: FeatureContract,
    subjects: Sequence[Subject],
    texts: Sequence[str | None],
    as_of: Instants,
) -> Frame:
    """The contract's matrix with the features that were visible at each instant.

    Args:
        subjects: n subjects; unknown ones give NaN.
        texts: their n texts, None where they have none.
        as_of: (n,) µs since epoch; the newest row with `visible_at` ≤ `as_of` is used.

    Raises:
        NotFound: the worker has not derived any features yet.
    """
    stored = rows_at(settings, subjects, np.repeat(as_of[:, None], len(ROLES), axis=1))
    return Frame(evaluate(contract, stored.packed, as_of, texts).matrix, stored.row_at)


def rows_at(
    settings: Settings, subjects: Sequence[Subject], as_of: Instants, links: Sequence[Links] | None = None
) -> StoredRows:
    """The stored rows of each role at that role's instant.

    Args:
        subjects: n subjects.
        as_of: (n, roles) µs since epoch; 0 to leave the row out.
        links: n links to follow; default: those stored at the time.

    Raises:
        NotFound: the worker has not derived any features yet.
    """
    if not (settings.features_dir / "registry.db").exists():
        raise NotFound("No features have been derived yet.", remedy="Run: leads worker --once")
    packed = missing(len(subjects))
    if not len(subjects):
        return StoredRows(packed, np.empty((0, len(ROLES)), np.int64), [])
    join = _Join(open_store(settings), packed, as_of)
    found = join.role("item", [subject.key for subject in subjects])
    if links is None:
        links = [links_of(subject, Links(*stored)) for subject, stored in zip(subjects, found, strict=True)]
    devices = join.role("account", [link.account_id for link in links])
    join.role("parent", [link.parent_key for link in links])
    join.role("bucket_0", [link.bucket_0 for link in links])
    join.role("bucket_1", [link.bucket_1 for link in links])
    join.role("device", [device for (device,) in devices])
    return StoredRows(packed, row_instants(packed), list(links))


class _Join:
    """Runs Feast's point-in-time joins and writes the results into packed rows."""

    def __init__(self, store: FeatureStore, packed: dict[str, Matrix], as_of: Instants) -> None:
        self._store = store
        self._packed = packed
        self._as_of = dict(zip(ROLES, as_of.T, strict=True))

    def role(self, role: str, keys: Sequence[str | None]) -> list[tuple[str | None, ...]]:
        """Fill in the role's rows; returns the links stored with them."""
        layout, at = ROLES[role], self._as_of[role]
        links: list[tuple[str | None, ...]] = [(None,) * len(layout.links)] * len(keys)
        known = [i for i, key in enumerate(keys) if key is not None and at[i] > 0]
        if not known:
            return links
        joined = self._joined(layout, [keys[i] for i in known], known, at[known])
        values: Any = joined[packed_name(layout.view)]
        for row, value in zip(joined["row"], values, strict=True):
            if value is not None and np.size(value) == layout.width:
                self._packed[role][row] = value
        if layout.links:
            columns = [joined[name] for name in layout.links]
            for row, *stored in zip(joined["row"], *columns, strict=True):
                links[row] = tuple(value if isinstance(value, str) else None for value in stored)
        return links

    def _joined(self, layout: Layout, keys: Sequence[str | None], rows: Sequence[int], at: Instants) -> pd.DataFrame:
        """Feast's result; its column `row` is the index of the subject."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                JOIN_KEYS[layout.view]: keys,
                "row": np.array(rows, dtype=np.int64),
                "event_timestamp": pd.to_datetime(at, unit="us", utc=True).as_unit("us"),
            }
        )
        features = [f"{layout.view}:{name}" for name in (packed_name(layout.view), *layout.links)]
        with known_warnings_ignored():
            return self._store.get_historical_features(frame, features).to_df()

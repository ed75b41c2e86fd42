"""Point-in-time frames: the features that were visible at given instants, joined by Feast over the segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from features.columns import evaluate, missing
from features.contract import FeatureContract
from features.fold import Links, links_of
from features.rows import LAYOUTS, Instants, Matrix, visible_at
from features.segments import JOIN_KEYS, packed_name
from features.store import known_warnings_ignored, open_store
from leads.errors import NotFound
from leads.records import Subject
from leads.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore


@dataclass(frozen=True)
class Frame:
    """`matrix` (n, columns) float32; `row_at` (n, 3): when the item, account, parent rows became visible, µs."""

    matrix: Matrix
    row_at: Instants


def point_in_time(
    settings: Settings,
    contract: FeatureContract,
    subjects: Sequence[Subject],
    texts: Sequence[str | None],
    as_of: Instants,
) -> Frame:
    """The contract's matrix as serving could have known it at each instant.

    Args:
        subjects: n subjects; ones the log doesn't know give NaN.
        texts: their n texts, None where they have none.
        as_of: (n,) µs since epoch; the newest row with `visible_at` ≤ `as_of` counts.

    Raises:
        NotFound: no features were derived yet.
    """
    if not (settings.features_dir / "registry.db").exists():
        raise NotFound("No features were derived yet.", remedy="Run: leads worker --once")
    if not len(subjects):
        return Frame(np.empty((0, len(contract.columns)), np.float32), np.empty((0, 3), np.int64))
    store = open_store(settings)
    packed = missing(len(subjects))
    items = _join(store, "item", [subject.key for subject in subjects], as_of)
    _unpack(packed, "item", items)
    links = [
        links_of(subject, {subject.key: link})
        for subject, link in zip(subjects, _links(items, len(subjects)), strict=True)
    ]
    for view, keys in (
        ("account", [link.account_id for link in links]),
        ("parent", [link.parent_key for link in links]),
    ):
        _unpack(packed, view, _join(store, view, keys, as_of))
    row_at = np.stack([visible_at(packed[layout.view]) for layout in LAYOUTS], axis=1)
    return Frame(evaluate(contract, packed, as_of, texts), row_at)


def _join(store: FeatureStore, view: str, keys: Sequence[str | None], as_of: Instants) -> pd.DataFrame:
    """Feast's point-in-time join for the entities that are known; `row` says which of ours each result belongs to."""
    import pandas as pd

    known = [i for i, key in enumerate(keys) if key is not None]
    frame = pd.DataFrame(
        {
            JOIN_KEYS[view]: [keys[i] for i in known],
            "row": np.array(known, dtype=np.int64),
            "event_timestamp": pd.to_datetime(as_of[known], unit="us", utc=True).as_unit("us"),
        }
    )
    if frame.empty:
        return frame
    features = [f"{view}:{packed_name(view)}"]
    if view == "item":
        features += ["item:item_account", "item:item_parent"]
    with known_warnings_ignored():
        return store.get_historical_features(frame, features).to_df()


def _unpack(packed: dict[str, Matrix], view: str, joined: pd.DataFrame) -> None:
    if joined.empty:
        return
    width = packed[view].shape[1]
    values: Any = joined[packed_name(view)]
    for row, value in zip(joined["row"], values, strict=True):
        if value is not None and np.size(value) == width:
            packed[view][row] = value


def _links(joined: pd.DataFrame, n: int) -> list[Links]:
    links = [Links()] * n
    for row, account_id, parent_key in zip(joined["row"], joined["item_account"], joined["item_parent"], strict=True):
        links[row] = Links(_text(account_id), _text(parent_key))
    return links


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

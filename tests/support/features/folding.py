"""Folds events in memory and reads features from the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.declared.builtin import BUILTIN, LAYOUT_OF, ROLES
from features.evaluate.columns import contract_for, evaluate
from features.fold.fold import Batch, Fold
from features.layout import Matrix, missing
from features.links import Links, links_of
from features.partition import WHOLE, Partition
from features.rows import links_in, unpack
from features.state.sqlite import SqliteState
from leads.events import LoggedEvent, Subject

STORED = contract_for(text=False)


def fold(events: Sequence[LoggedEvent], partition: Partition = WHOLE) -> Batch:
    """All rows made from the events."""
    folding = Fold(SqliteState(), BUILTIN, partition)
    folding.apply(events)
    return folding.take()


def newest(batch: Batch) -> dict[tuple[str, str], tuple[np.ndarray, tuple[str | None, ...]]]:
    """Each entity's last row and its links."""
    found = {}
    for view, rows in batch.items():
        layout = LAYOUT_OF[view]
        packed = unpack(layout, rows.rows)
        for i, key in enumerate(rows.keys):
            found[view, key] = (packed[i], links_in(layout, rows.rows[i]))
    return found


def packed_of(batch: Batch, subjects: Sequence[Subject]) -> dict[str, Matrix]:
    """The rows of each role for the subjects, as the online reader would find them."""
    stored, packed = newest(batch), missing(ROLES, len(subjects))
    for i, subject in enumerate(subjects):
        item = stored.get(("item", subject.key))
        links = links_of(subject, Links(*item[1]) if item else None)
        account = stored.get(("account", links.account_id or ""))
        (device,) = account[1] if account else (None,)
        keys = (("item", "item", subject.key), ("account", "account", links.account_id))
        keys += (("parent", "parent", links.parent_key), ("device", "device", device))
        keys += (("bucket_0", "bucket", links.bucket_0), ("bucket_1", "bucket", links.bucket_1))
        for role, view, key in keys:
            if key is not None and (view, key) in stored:
                packed[role][i] = stored[view, key][0]
    return packed


def values_of(batch: Batch, subjects: Sequence[Subject], as_of: int) -> Matrix:
    """(n, stored features) at an instant."""
    n = len(subjects)
    return evaluate(STORED, packed_of(batch, subjects), np.full(n, as_of), [None] * n).matrix

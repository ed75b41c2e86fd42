"""Folds events in memory and reads features from the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import contract_for, evaluate
from features.fold.fold import Batch, Fold
from features.layout import Matrix, missing
from features.links import links_in_row, links_of
from features.partition import WHOLE, Partition
from features.rows import links_in, unpack
from features.state.sqlite import SqliteState
from leads.events import LoggedEvent, Subject

STORED = contract_for(text=False)


def fold(events: Sequence[LoggedEvent], partition: Partition = WHOLE, features: FeatureSet = BUILTIN) -> Batch:
    """All rows made from the events."""
    folding = Fold(SqliteState(), features, partition)
    folding.apply(events)
    return folding.take()


def newest(
    batch: Batch, features: FeatureSet = BUILTIN
) -> dict[tuple[str, str], tuple[np.ndarray, tuple[str | None, ...]]]:
    """Each entity's last row and its links."""
    found = {}
    for view, rows in batch.items():
        layout = features.layout_of[view]
        packed = unpack(layout, rows.rows)
        for i, key in enumerate(rows.keys):
            found[view, key] = (packed[i], links_in(layout, rows.rows[i]))
    return found


def packed_of(batch: Batch, subjects: Sequence[Subject], features: FeatureSet = BUILTIN) -> dict[str, Matrix]:
    """The rows of each role for the subjects, as the online reader would find them."""
    stored, packed = newest(batch, features), missing(features.roles, len(subjects))
    for i, subject in enumerate(subjects):
        item = stored.get(("item", subject.key))
        links = links_of(subject, links_in_row(item[1]) if item else None)
        keys = {"item": subject.key, "account": links.account_id, "parent": links.parent_key}
        keys |= {"bucket_0": links.bucket_0, "bucket_1": links.bucket_1}
        for role, source, place in features.followed:
            row = stored.get((features.roles[source].view, keys[source] or ""))
            keys[role] = row[1][place] if row else None
        for role, key in keys.items():
            view = features.roles[role].view
            if key is not None and (view, key) in stored:
                packed[role][i] = stored[view, key][0]
    return packed


def values_of(batch: Batch, subjects: Sequence[Subject], as_of: int) -> Matrix:
    """(n, stored features) at an instant."""
    n = len(subjects)
    return evaluate(STORED, packed_of(batch, subjects), np.full(n, as_of), [None] * n).matrix

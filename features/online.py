"""The online reader: packed rows straight from the store's own layout, as numpy, in two round trips.

The first fetches the subjects' item rows with their links, the second the accounts and parents these name. Feast itself
is not imported. `docs/specs/online_store_format.md` in Feast's repository specifies the layouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.columns import missing
from features.fold import Links, links_of
from features.online_stores import Store, Values, open_online_store
from features.rows import ACCOUNT, ITEM, LAYOUTS, PARENT, Instants, Layout, Matrix, visible_at
from leads.records import Subject
from leads.settings import Settings


@dataclass(frozen=True)
class Fetched:
    """What the store holds for n subjects.

    Args:
        packed: per view (n, width) float32, NaN rows where nothing is stored.
        row_at: (n, 3) µs, when the item, account and parent rows became visible; 0 where nothing is stored.
        links: who made each subject and what it hangs on.
    """

    packed: dict[str, Matrix]
    row_at: Instants
    links: list[Links]


class OnlineReader:
    """Thread-safe. Blocks for at most about two seconds."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def fetch(self, subjects: Sequence[Subject], links: Sequence[Links | None] | None = None) -> Fetched:
        """The newest rows of the subjects, their accounts and parents.

        Args:
            subjects: n subjects; unknown ones give NaN rows.
            links: n links that the caller knows better than the store; None where it doesn't.

        Raises:
            Unavailable: the store doesn't answer.
        """
        packed = missing(len(subjects))
        (items,) = self._store.get([(ITEM, [subject.key for subject in subjects])])
        _unpack(packed[ITEM.view], ITEM, items, range(len(subjects)))
        found = []
        for i, (subject, values) in enumerate(zip(subjects, items, strict=True)):
            given = links[i] if links else None
            stored = Links(*(string_value(value) for value in values[1:]))
            found.append(given or links_of(subject, {subject.key: stored}))
        accounts = _distinct([link.account_id for link in found])
        parents = _distinct([link.parent_key for link in found])
        for layout, keys, values_of in zip(
            (ACCOUNT, PARENT),
            (accounts, parents),
            self._store.get([(ACCOUNT, list(accounts)), (PARENT, list(parents))]),
            strict=True,
        ):
            for rows, value in zip(keys.values(), values_of, strict=True):
                _unpack(packed[layout.view], layout, [value] * len(rows), rows)
        row_at = np.stack([visible_at(packed[layout.view]) for layout in LAYOUTS], axis=1)
        return Fetched(packed, row_at, found)

    def close(self) -> None:
        self._store.close()


def open_reader(settings: Settings) -> OnlineReader:
    """The reader for the settings' online store. It connects on the first read."""
    return OnlineReader(open_online_store(settings))


def string_value(raw: bytes | None) -> str | None:
    """The string in a serialised Feast `Value`; None when it holds none.

    Its wire form is the tag of `string_val`, 0x12, the length as a varint and the UTF-8 bytes.
    """
    if not raw or raw[0] != 0x12:
        return None
    start = 1
    while raw[start] & 0x80:
        start += 1
    return raw[start + 1 :].decode()


def _unpack(into: Matrix, layout: Layout, values: Sequence[Values], rows: Sequence[int] | range) -> None:
    """A `Value` that holds a float list ends with its packed floats; one of another length is not this layout's row."""
    size = 4 * layout.width
    for row, value in zip(rows, values, strict=True):
        raw = value[0]
        if raw is not None and size < len(raw) <= size + 12:
            into[row] = np.frombuffer(raw, dtype="<f4", offset=len(raw) - size)


def _distinct(keys: Sequence[str | None]) -> dict[str, list[int]]:
    """For each key the rows that need it."""
    rows: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        if key is not None:
            rows.setdefault(key, []).append(row)
    return rows

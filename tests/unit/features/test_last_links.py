"""Rows that are fetched ahead, along the links of the last time, never change what a reader finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features.declared.builtin import LAYOUT_OF
from features.layout import VISIBLE
from features.links import Links
from features.online.codec import Column, Wanted, bytes_value
from features.online.reader import OnlineReader
from features.rows import LinkValues, pack
from leads.events import Subject

SUBJECTS = [Subject("comment", "c1"), Subject("comment", "c2"), Subject("account", "a1"), Subject("comment", "c1")]
ITEMS = ("comment:c1", "comment:c2")
KEYS = ("k1", "k2", None)
NEXT = st.lists(
    st.one_of(
        st.tuples(
            st.just("item"), st.sampled_from(["comment:c1", "comment:c2"]), st.tuples(*[st.sampled_from(KEYS)] * 4)
        ),
        st.tuples(st.just("account"), st.sampled_from(["k1", "k2", "a1"]), st.tuples(st.sampled_from(KEYS))),
        st.tuples(st.sampled_from(["parent", "bucket", "device"]), st.sampled_from(["k1", "k2"]), st.just(())),
    ),
    max_size=4,
)
KNOWN = st.lists(st.none() | st.builds(Links, *[st.sampled_from(KEYS)] * 4), min_size=4, max_size=4)


class Memory:
    """An online store that counts its round trips. Rows are told apart by their number."""

    bounded = True

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}
        self.trips = 0

    def get(self, wanted: Sequence[Wanted]) -> list[list[Column]]:
        self.trips += 1
        return [[[self.rows.get((one.layout.view, key)) for key in one.keys]] for one in wanted]

    def put(self, view: str, key: str, links: LinkValues, number: int) -> None:
        layout = LAYOUT_OF[view]
        cells = np.zeros((1, layout.width), np.float32)
        cells[0, VISIBLE] = number
        self.rows[view, key] = bytes_value(pack(layout, cells, [links])[0])

    def close(self) -> None: ...


@given(rounds=st.lists(st.tuples(NEXT, KNOWN), min_size=1, max_size=6))
def test_a_reader_that_remembers_links_finds_what_a_new_one_finds(
    rounds: list[tuple[list[tuple[str, str, LinkValues]], list[Links | None]]],
) -> None:
    store = Memory()
    reader = OnlineReader(store)
    number = 0
    for changes, known in rounds:
        for view, key, links in changes:
            number += 1
            store.put(view, key, links, number)
        found, expected = reader.fetch(SUBJECTS, known), OnlineReader(store).fetch(SUBJECTS, known)
        assert found.links == expected.links
        np.testing.assert_array_equal(found.row_at, expected.row_at)
        for role, rows in expected.packed.items():
            np.testing.assert_array_equal(found.packed[role], rows)


def test_one_round_trip_is_enough_if_nothing_has_changed() -> None:
    store = Memory()
    store.put("item", "comment:c1", ("a1", "p1", "b1", "b2"), 1)
    store.put("account", "a1", ("d1",), 2)
    reader = OnlineReader(store)
    trips = []
    for device in ("d1", "d1", "d2", "d2"):
        store.put("account", "a1", (device,), 3)
        store.trips = 0
        reader.fetch([Subject("comment", "c1")])
        trips.append(store.trips)
    assert trips == [3, 1, 2, 1]

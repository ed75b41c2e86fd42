"""The online reader: from subjects to packed rows, straight from the store's own layout, in as few trips as it takes.

The first trip fetches the subjects' own rows together with every row whose key the caller knows already; each further
one what the rows found so far lead to. With accounts and parents known that is two trips: buckets and devices come with
the second. Feast itself is not imported, unless its SDK is the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.online_keys import string_value
from features.online_stores import Store, Values, open_online_store
from features.routes import Links, links_of
from features.rows import ROLES, Instants, Layout, Matrix, missing, row_instants
from leads.records import Subject
from leads.settings import Settings


@dataclass(frozen=True)
class Fetched:
    """What the store holds for n subjects.

    Args:
        packed: per role (n, width) float32, NaN rows where nothing is stored.
        row_at: (n, roles) µs, when each role's row became visible; 0 where nothing is stored.
        links: who made each subject, what it hangs on, its text's buckets.
    """

    packed: dict[str, Matrix]
    row_at: Instants
    links: list[Links]


class OnlineReader:
    """Thread-safe. Blocks for at most about two seconds a trip."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched:
        """The newest rows of the subjects and of what they link to.

        Args:
            subjects: n subjects; unknown ones give NaN rows.
            known: n links that the caller knows better than the store; where one of their parts is None, the stored
                one counts.

        Raises:
            Unavailable: the store doesn't answer.
        """
        trip = _Trips(self._store, len(subjects))
        links = [_merged(links_of(subject, None), known[i] if known else None) for i, subject in enumerate(subjects)]
        trip.want("item", [subject.key for subject in subjects])
        trip.want_links(links)
        trip.go()
        links = [_merged(Links(*stored), given) for given, stored in zip(links, trip.links["item"], strict=True)]
        trip.want_links(links)
        trip.want_devices()
        trip.go()
        trip.want_devices()
        trip.go()
        return Fetched(trip.packed, row_instants(trip.packed), links)

    def close(self) -> None:
        self._store.close()


def open_reader(settings: Settings) -> OnlineReader:
    """The reader for the settings' online store. It connects on the first read."""
    return OnlineReader(open_online_store(settings))


class _Trips:
    """Collects which keys each role still needs, and fetches them all at once."""

    def __init__(self, store: Store, n: int) -> None:
        self._store = store
        self._n = n
        self.packed = missing(n)
        self.links: dict[str, list[tuple[str | None, ...]]] = {
            role: [(None,) * len(layout.links)] * n for role, layout in ROLES.items() if layout.links
        }
        self._asked: dict[str, list[str | None]] = {role: [None] * n for role in ROLES}
        self._wanted: dict[str, dict[str, list[int]]] = {}

    def want(self, role: str, keys: Sequence[str | None]) -> None:
        """Note the keys that were not asked for before."""
        asked = self._asked[role]
        wanted = self._wanted.setdefault(role, {})
        for i, key in enumerate(keys):
            if key is not None and asked[i] is None:
                asked[i] = key
                wanted.setdefault(key, []).append(i)

    def want_links(self, links: Sequence[Links]) -> None:
        for role, place in (("account", 0), ("parent", 1), ("bucket_0", 2), ("bucket_1", 3)):
            self.want(role, [link[place] for link in links])

    def want_devices(self) -> None:
        self.want("device", [device for (device,) in self.links["account"]])

    def go(self) -> None:
        """One trip, when anything is wanted."""
        wanted = [(role, keys) for role, keys in self._wanted.items() if keys]
        self._wanted = {}
        if not wanted:
            return
        answers = self._store.get([(ROLES[role], list(keys)) for role, keys in wanted])
        for (role, keys), values in zip(wanted, answers, strict=True):
            self._take(role, list(keys.values()), values)

    def _take(self, role: str, places: list[list[int]], values: list[Values]) -> None:
        layout, links = ROLES[role], self.links.get(role)
        stored, which = unpack(layout, values)
        if len(which):
            rows = [(n, i) for n, key in enumerate(which.tolist()) for i in places[key]]
            taken, into = np.array(rows, dtype=np.int64).T
            self.packed[role][into] = stored[taken]
        if links is not None:
            for rows_of, value in zip(places, values, strict=True):
                found = tuple(string_value(raw) for raw in value[1:])
                for i in rows_of:
                    links[i] = found


def unpack(layout: Layout, values: Sequence[Values]) -> tuple[Matrix, Instants]:
    """The packed rows among raw values, (k, width), and which of the values they are, (k,).

    A `Value` that holds a float list ends with its packed floats; one of another length is not this layout's row.
    """
    size = 4 * layout.width
    found = [(i, value[0]) for i, value in enumerate(values) if value[0] is not None]
    kept = [(i, raw) for i, raw in found if size < len(raw) <= size + 12]
    joined = b"".join([raw[-size:] for _, raw in kept])
    stored: Matrix = np.frombuffer(joined, dtype="<f4").reshape(len(kept), layout.width)
    return stored, np.array([i for i, _ in kept], dtype=np.int64)


def _merged(stored: Links, known: Links | None) -> Links:
    """Part by part, what is known better wins."""
    if known is None:
        return stored
    return Links(*(better if better is not None else other for better, other in zip(known, stored, strict=True)))

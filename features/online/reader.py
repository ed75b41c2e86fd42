"""The online reader: from subjects to packed rows, straight from the store's own layout, in as few trips as it takes.

The first trip fetches the subjects' own rows together with every row whose key the caller knows already; each further
one what the rows found so far lead to. With accounts and parents known that is two trips: buckets and devices come with
the second. Feast itself is not imported, unless its SDK is the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from features.fold.router import Links, links_of
from features.layout import ROLES, Instants, Layout, Matrix, row_instants
from features.online.codec import float_list_value, string_value
from features.online.stores import Store, Values, open_online_store
from leads.events import Subject
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
    """Thread-safe. Blocks, for a `bounded` store at most LEADS_STORE_TIMEOUT_S a trip."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def bounded(self) -> bool:
        """Whether each trip ends by the store's own time-out, whatever the store does."""
        return self._store.bounded

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
        given = known or (None,) * len(subjects)
        links = [_merged(links_of(subject, None), better) for subject, better in zip(subjects, given, strict=True)]
        trip.want("item", [subject.key for subject in subjects])
        trip.want_links(links)
        trip.go()
        links = [_merged(Links(*stored), link) for link, stored in zip(links, trip.links["item"], strict=True)]
        trip.want_links(links)
        trip.want_devices()
        trip.go()
        trip.want_devices()
        trip.go()
        packed = trip.packed()
        return Fetched(packed, row_instants(packed), links)

    def close(self) -> None:
        self._store.close()


def open_reader(settings: Settings) -> OnlineReader:
    """The reader for the settings' online store. It connects on the first read."""
    return OnlineReader(open_online_store(settings))


class _Trips:
    """Collects which keys each role still needs, and fetches them all at once; a key that many share is read once."""

    def __init__(self, store: Store, n: int) -> None:
        self._store = store
        self._n = n
        self._packed: dict[str, Matrix] = {}
        self.links: dict[str, list[tuple[str | None, ...]]] = {
            role: [(None,) * len(layout.links)] * n for role, layout in ROLES.items() if layout.links
        }
        self._asked: dict[str, list[bool]] = {}
        # By role: the keys, each with its place among them, and for each subject whose row it gets, -1 for none.
        self._wanted: dict[str, tuple[dict[str, int], list[int]]] = {}

    def want(self, role: str, keys: Sequence[str | None]) -> None:
        """Note the keys of subjects for which this role was not asked for before; at most once between two trips."""
        asked = self._asked.get(role)
        if asked is not None:
            keys = [None if known else key for key, known in zip(keys, asked, strict=True)]
            self._asked[role] = [known or key is not None for key, known in zip(keys, asked, strict=True)]
        else:
            self._asked[role] = [key is not None for key in keys]
        places: dict[str, int] = {}
        which = [-1 if key is None else places.setdefault(key, len(places)) for key in keys]
        if places:
            self._wanted[role] = (places, which)

    def want_links(self, links: Sequence[Links]) -> None:
        for place, role in enumerate(("account", "parent", "bucket_0", "bucket_1")):
            self.want(role, [link[place] for link in links])

    def want_devices(self) -> None:
        self.want("device", [device for (device,) in self.links["account"]])

    def go(self) -> None:
        """One trip, when anything is wanted."""
        wanted, self._wanted = self._wanted, {}
        if not wanted:
            return
        answers = self._store.get([(ROLES[role], list(places)) for role, (places, _) in wanted.items()])
        for (role, (_, which)), values in zip(wanted.items(), answers, strict=True):
            self._take(role, which, values)

    def packed(self) -> dict[str, Matrix]:
        """Every role's rows; those of which nothing was found share one row of NaN. Read-only."""
        return {
            role: self._packed[role]
            if role in self._packed
            else np.broadcast_to(_nothing(layout.width), (self._n, layout.width))
            for role, layout in ROLES.items()
        }

    def _take(self, role: str, which: list[int], values: list[Values]) -> None:
        layout, links = ROLES[role], self.links.get(role)
        stored, found = unpack(layout, values)
        if len(found):
            # One more place, for subjects without a key: -1 finds it.
            places = np.full(len(values) + 1, -1, np.int64)
            places[found] = np.arange(len(found))
            taken = places[which]
            into = np.flatnonzero(taken >= 0)
            if len(into) == self._n:
                self._packed[role] = stored[taken]
            else:
                if role not in self._packed:
                    self._packed[role] = np.full((self._n, layout.width), np.nan, np.float32)
                self._packed[role][into] = stored[taken[into]]
        if links is not None:
            read = [tuple(map(string_value, value[1:])) for value in values]
            for i, place in enumerate(which):
                if place >= 0:
                    links[i] = read[place]


@cache
def _nothing(width: int) -> Matrix:
    return np.full(width, np.nan, np.float32)


def unpack(layout: Layout, values: Sequence[Values]) -> tuple[Matrix, Instants]:
    """The packed rows among raw values, (k, width), and which of the values they are, (k,).

    Whatever isn't a `Value` of exactly this layout's floats is not a row.
    """
    head, size = _head(layout.width)
    whole, start = len(head) + size, len(head)
    found = [i for i, (raw, *_) in enumerate(values) if raw is not None and len(raw) == whole and raw.startswith(head)]
    joined = b"".join([values[i][0][start:] for i in found])  # type: ignore[index]
    stored: Matrix = np.frombuffer(joined, dtype="<f4").reshape(len(found), layout.width)
    return stored, np.array(found, dtype=np.int64)


@cache
def _head(width: int) -> tuple[bytes, int]:
    """What comes before the floats of a packed row, and their bytes."""
    size = 4 * width
    return float_list_value(bytes(size))[:-size], size


_NO_LINKS = Links()


def _merged(stored: Links, known: Links | None) -> Links:
    """Part by part, what is known better wins."""
    if known is None or known == _NO_LINKS:
        return stored
    if stored == _NO_LINKS:
        return known
    return Links(*(better if better is not None else other for better, other in zip(known, stored, strict=True)))

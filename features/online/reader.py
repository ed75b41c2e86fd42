"""The online reader: fetches the packed rows of subjects directly from the store, in as few round trips as possible.

The first trip fetches the subjects' own rows and every row whose key the caller knows already. Later trips fetch what
the rows found so far link to. If accounts and parents are known, two trips suffice: buckets and devices come with the
second. Feast is not imported, unless its SDK is the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from features.layout import ROLES, Instants, Layout, Matrix, row_instants
from features.links import Links, links_of
from features.online.codec import Values, float_list_value, string_value
from features.online.stores import Store, open_online_store
from leads.events import Subject
from leads.settings import Settings


@dataclass(frozen=True)
class Fetched:
    """The stored rows of n subjects.

    Args:
        packed: per role (n, width) float32, NaN rows where nothing is stored.
        row_at: (n, roles) µs, when each role's row became visible; 0 where nothing is stored.
        links: each subject's creator, parent and text buckets.
    """

    packed: dict[str, Matrix]
    row_at: Instants
    links: list[Links]


class OnlineReader:
    """Thread-safe. Blocks; with a `bounded` store, for at most LEADS_STORE_TIMEOUT_S per round trip."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def bounded(self) -> bool:
        """Whether every round trip ends within the store's own timeout, even if the server hangs."""
        return self._store.bounded

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched:
        """The newest rows of the subjects and of the entities they link to.

        Args:
            subjects: n subjects; unknown ones give NaN rows.
            known: n links from the caller, which take precedence over stored ones; a part that is None is read from the
                store.

        Raises:
            Unavailable: the store failed or did not respond in time.
        """
        trips = _RoundTrips(self._store, len(subjects))
        given = known or (None,) * len(subjects)
        links = [_merged(links_of(subject, None), better) for subject, better in zip(subjects, given, strict=True)]
        trips.request("item", [subject.key for subject in subjects])
        trips.request_links(links)
        trips.fetch_requested()
        links = [_merged(Links(*stored), link) for link, stored in zip(links, trips.links["item"], strict=True)]
        trips.request_links(links)
        trips.request_devices()
        trips.fetch_requested()
        trips.request_devices()
        trips.fetch_requested()
        packed = trips.packed()
        return Fetched(packed, row_instants(packed), links)

    def close(self) -> None:
        self._store.close()


def open_reader(settings: Settings) -> OnlineReader:
    """A reader for the online store of the settings. It connects on the first read."""
    return OnlineReader(open_online_store(settings))


class _RoundTrips:
    """Collects the keys that each role still needs, and fetches them all at once; a shared key is read once."""

    def __init__(self, store: Store, n: int) -> None:
        self._store = store
        self._n = n
        self._packed: dict[str, Matrix] = {}
        self.links: dict[str, list[tuple[str | None, ...]]] = {
            role: [(None,) * len(layout.links)] * n for role, layout in ROLES.items() if layout.links
        }
        self._requested: dict[str, list[bool]] = {}
        # By role: each key's position in the request, and per subject the position of its key, -1 for none.
        self._pending: dict[str, tuple[dict[str, int], list[int]]] = {}

    def request(self, role: str, keys: Sequence[str | None]) -> None:
        """Request rows of a role, for subjects for which it wasn't requested yet; once per role between two trips."""
        requested = self._requested.get(role)
        if requested is not None:
            keys = [None if known else key for key, known in zip(keys, requested, strict=True)]
            self._requested[role] = [known or key is not None for key, known in zip(keys, requested, strict=True)]
        else:
            self._requested[role] = [key is not None for key in keys]
        places: dict[str, int] = {}
        which = [-1 if key is None else places.setdefault(key, len(places)) for key in keys]
        if places:
            self._pending[role] = (places, which)

    def request_links(self, links: Sequence[Links]) -> None:
        for place, role in enumerate(("account", "parent", "bucket_0", "bucket_1")):
            self.request(role, [link[place] for link in links])

    def request_devices(self) -> None:
        self.request("device", [device for (device,) in self.links["account"]])

    def fetch_requested(self) -> None:
        """Make one round trip, if anything is requested."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        answers = self._store.get([(ROLES[role], list(places)) for role, (places, _) in pending.items()])
        for (role, (_, which)), values in zip(pending.items(), answers, strict=True):
            self._take(role, which, values)

    def packed(self) -> dict[str, Matrix]:
        """Every role's rows, read-only. Roles without any row share one broadcast row of NaN."""
        return {
            role: self._packed[role]
            if role in self._packed
            else np.broadcast_to(_nan_row(layout.width), (self._n, layout.width))
            for role, layout in ROLES.items()
        }

    def _take(self, role: str, which: list[int], values: list[Values]) -> None:
        layout, links = ROLES[role], self.links.get(role)
        stored, found = unpack(layout, values)
        if len(found):
            # The extra last place stays -1; index -1 finds it for subjects without a key.
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
def _nan_row(width: int) -> Matrix:
    return np.full(width, np.nan, np.float32)


def unpack(layout: Layout, values: Sequence[Values]) -> tuple[Matrix, Instants]:
    """Decode the packed rows among raw values: (k, width), and (k,) which of the values they are.

    A value that isn't a `Value` with exactly this layout's number of floats is ignored.
    """
    head, size = _head(layout.width)
    whole, start = len(head) + size, len(head)
    found = [i for i, (raw, *_) in enumerate(values) if raw is not None and len(raw) == whole and raw.startswith(head)]
    joined = b"".join([values[i][0][start:] for i in found])  # type: ignore[index]
    stored: Matrix = np.frombuffer(joined, dtype="<f4").reshape(len(found), layout.width)
    return stored, np.array(found, dtype=np.int64)


@cache
def _head(width: int) -> tuple[bytes, int]:
    """The encoded bytes before the floats of a packed row, and the size of the floats in bytes."""
    size = 4 * width
    return float_list_value(bytes(size))[:-size], size


_NO_LINKS = Links()


def _merged(stored: Links, known: Links | None) -> Links:
    """The caller's links, with missing parts taken from the stored ones."""
    if known is None or known == _NO_LINKS:
        return stored
    if stored == _NO_LINKS:
        return known
    return Links(*(better if better is not None else other for better, other in zip(known, stored, strict=True)))

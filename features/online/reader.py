"""The online reader: fetches the packed rows of subjects directly from the store, in as few round trips as possible.

The first trip fetches the subjects' own rows and every row whose key is known: from the caller, or because the subject
linked to it when it was read last. Later trips fetch what the rows found so far link to, unless it is there already. If
accounts and parents are known, two trips suffice, and one if nothing has changed since the last time. Feast is not
imported, unless its SDK is the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.generations import live_features
from features.layout import Instants, Matrix, row_instants
from features.links import Links, links_in_row, links_of
from features.online.codec import Column, Wanted, row_of, rows_in, rows_of_values, values_of
from features.online.dense import as_stored, is_dense, with_links
from features.online.last_links import Last, last_links
from features.online.stores import Store, open_online_store
from features.rows import ImpossibleCells, LinkValues, Parts, is_possible, join, links_of_rows, missing_parts, split
from leads.events import ACCOUNT, Subject
from leads.settings import Settings

_NOTHING = Last()


@dataclass(frozen=True)
class Fetched:
    """The stored rows of n subjects.

    Args:
        packed: per role (n, width) float32, NaN rows where nothing is stored.
        row_at: (n, roles) µs, when each role's row became visible; 0 where nothing is stored.
        links: each subject's creator, parent and text buckets.
        features: whose rows they are.
    """

    packed: dict[str, Matrix]
    row_at: Instants
    links: list[Links]
    features: FeatureSet = BUILTIN


class OnlineReader:
    """Thread-safe. Blocks; with a `bounded` store, for at most LEADS_STORE_TIMEOUT_S per round trip."""

    def __init__(self, store: Store, features: FeatureSet = BUILTIN) -> None:
        self._features = features
        self._store = store
        self._last = last_links()

    @property
    def features(self) -> FeatureSet:
        """The features whose rows the next call reads."""
        return self._features

    def use(self, features: FeatureSet) -> None:
        """Read the rows of these features from the next call on."""
        self._features = features

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
        features = self._features
        trips = _RoundTrips(self._store, features, len(subjects))
        keys = [subject.key for subject in subjects]
        given = known or (None,) * len(subjects)
        known = [
            _merged(links_of(subject, None), better) if subject.type_id == ACCOUNT else better or _NOTHING.links
            for subject, better in zip(subjects, given, strict=True)
        ]
        last = [one or _NOTHING for one in self._last.get_many(keys)]
        links = [_merged(one.links, better) for one, better in zip(last, known, strict=True)]
        trips.request("item", keys)
        trips.request_links(links)
        for i, (role, *_) in enumerate(features.followed):
            trips.request(role, [one.followed[i] if i < len(one.followed) else None for one in last])
        trips.fetch_requested()
        links = [
            link if link == stored[: len(link)] else _merged(links_in_row(stored), better)
            for link, stored, better in zip(links, trips.links["item"], known, strict=True)
        ]
        trips.request_links(links)
        trips.request_followed()
        trips.fetch_requested()
        trips.request_followed()
        trips.fetch_requested()
        for key, before, link, followed in zip(keys, last, links, trips.followed(), strict=True):
            if before.links != link or before.followed != followed:
                self._last.put(key, Last(link, followed))
        packed = trips.packed()
        return Fetched(packed, row_instants(packed), links, features)

    def close(self) -> None:
        self._store.close()


def open_reader(settings: Settings) -> OnlineReader:
    """A reader for the live features in the online store of the settings. It connects on the first read."""
    return OnlineReader(open_online_store(settings), live_features(settings))


class _RoundTrips:
    """Collects the keys that each role still needs, and fetches them all at once; a shared key is read once."""

    def __init__(self, store: Store, features: FeatureSet, n: int) -> None:
        self._store = store
        self._roles = features.roles
        self._followed = features.followed
        self._own = features.views
        self._views_of: dict[str, list[str]] = {}
        for view in features.views:
            self._views_of.setdefault(view.source, []).append(view.view)
        self._n = n
        self._packed: dict[str, Matrix] = {}
        self.links: dict[str, list[LinkValues]] = {
            role: [(None,) * len(layout.links)] * n for role, layout in self._roles.items() if layout.links
        }
        # By role, per subject: the key whose row it has, or will have after the next trip.
        self._asked: dict[str, list[str | None]] = {}
        # By role: each key's position in the request, and per subject the position of its key, -1 for none.
        self._pending: dict[str, tuple[dict[str, int], list[int]]] = {}

    def request(self, role: str, keys: Sequence[str | None]) -> None:
        """Request the rows of a role that subjects don't have yet; once per role between two trips.

        A row that was fetched under another key is forgotten: the subject no longer links to it.
        """
        asked, wanted = self._asked.get(role), list(keys)
        if asked == wanted:
            return
        self._asked[role] = wanted
        if asked is not None:
            forgotten = [i for i, key in enumerate(asked) if key is not None and key != wanted[i]]
            for one in (role, *self._views_of.get(role, ())):
                self._forget(one, forgotten)
            wanted = [None if key == before else key for key, before in zip(wanted, asked, strict=True)]
        places: dict[str, int] = {}
        which = [-1 if key is None else places.setdefault(key, len(places)) for key in wanted]
        if places:
            # The values of own views about the same entities are read with the rows.
            for one in (role, *self._views_of.get(role, ())):
                self._pending[one] = (places, which)

    def _forget(self, role: str, subjects: list[int]) -> None:
        if subjects and role in self._packed:
            self._packed[role][subjects] = np.nan
        if role in self.links:
            for i in subjects:
                self.links[role][i] = (None,) * len(self._roles[role].links)

    def request_links(self, links: Sequence[Links]) -> None:
        for place, role in enumerate(("account", "parent", "bucket_0", "bucket_1")):
            self.request(role, [link[place] for link in links])

    def request_followed(self) -> None:
        for role, source, place in self._followed:
            self.request(role, [links[place] for links in self.links[source]])

    def followed(self) -> list[LinkValues]:
        """By subject, the key of each followed role."""
        columns = [[links[place] for links in self.links[source]] for _, source, place in self._followed]
        return list(zip(*columns, strict=True))

    def fetch_requested(self) -> None:
        """Make one round trip, if anything is requested."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        own = {view: pending.pop(view.view) for view in self._own if view.view in pending}
        wanted = [row_of(self._roles[role], list(places)) for role, (places, _) in pending.items()]
        rows, values = self._read(wanted, [values_of(view, list(places)) for view, (places, _) in own.items()])
        for (view, (_, which)), columns in zip(own.items(), values, strict=True):
            self._take(view.view, which, (), rows_of_values(view, columns))
        try:
            cells = _cells(wanted, rows)
        except ImpossibleCells:
            rows = [
                [row if row and is_possible(one.layout, row) else None for row in answer]
                for one, answer in zip(wanted, rows, strict=True)
            ]
            cells = _cells(wanted, rows)
        for (role, (_, which)), answer, found in zip(pending.items(), rows, cells, strict=True):
            if any(answer):
                self._take(role, which, answer, found)

    def packed(self) -> dict[str, Matrix]:
        """Every role's rows, read-only. Roles without any row share one broadcast row of NaN."""
        return {
            role: self._packed[role]
            if role in self._packed
            else np.broadcast_to(_nan_row(layout.width), (self._n, layout.width))
            for role, layout in self._roles.items()
        }

    def _take(self, role: str, which: list[int], rows: Sequence[Parts | None], cells: Matrix) -> None:
        """Give each subject its row of a role.

        Args:
            which: the place of each subject's key in `rows`; -1 for none.
            rows: k rows, one per key; None where nothing is stored.
            cells: (k + 1, width) the same rows, of NaN where nothing is stored, and a last one of NaN.
        """
        if role not in self._packed:
            self._packed[role] = cells[which]
        else:
            into = [i for i, place in enumerate(which) if place >= 0]
            self._packed[role][into] = cells[[which[i] for i in into]]
        links = self.links.get(role)
        if links is not None:
            read = links_of_rows(self._roles[role], rows)
            for i, place in enumerate(which):
                if place >= 0 and read[place]:
                    links[i] = read[place]

    def _read(
        self, wanted: Sequence[Wanted], own: Sequence[Wanted]
    ) -> tuple[list[list[Parts | None]], list[list[Column]]]:
        """The stored rows, and the values of own views, in one round trip, or in two if any rows were written by an
        earlier release."""
        every = self._store.get([*wanted, *own])
        answers, values = [column for (column,) in every[: len(wanted)]], every[len(wanted) :]
        rows = [rows_in(one.layout, answer) for one, answer in zip(wanted, answers, strict=True)]
        for one, answer, found in zip(wanted, answers, rows, strict=True):
            old = [i for i, raw in enumerate(answer) if raw and found[i] is None and is_dense(one.layout, raw)]
            if old:
                again = self._store.get([with_links(one.layout, [one.keys[i] for i in old])])[0]
                rewritten = [as_stored(one.layout, raw, links) for raw, *links in zip(*again, strict=True)]
                for i, parts in zip(old, split(one.layout, rewritten), strict=True):
                    found[i] = parts
        return rows, values


def _cells(wanted: Sequence[Wanted], rows: Sequence[Sequence[Parts | None]]) -> list[Matrix]:
    """The cells of each role's rows, and behind them a row for subjects without a key: they find it at -1.

    Raises:
        ImpossibleCells: a row is damaged.
    """
    return join(
        [
            (one.layout, [missing_parts(one.layout) if row is None else row for row in (*answer, None)])
            for one, answer in zip(wanted, rows, strict=True)
        ],
        checked=True,
    )


@cache
def _nan_row(width: int) -> Matrix:
    return np.full(width, np.nan, np.float32)


def _merged(stored: Links, known: Links | None) -> Links:
    """The caller's links, with missing parts taken from the stored ones."""
    if known is None or known is stored:
        return stored
    account_id, parent_key, bucket_0, bucket_1 = known
    return Links(
        stored.account_id if account_id is None else account_id,
        stored.parent_key if parent_key is None else parent_key,
        stored.bucket_0 if bucket_0 is None else bucket_0,
        stored.bucket_1 if bucket_1 is None else bucket_1,
    )

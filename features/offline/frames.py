"""Point-in-time frames: features as visible at given times, joined over the segments."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.contract import FeatureContract
from features.declared.feature_set import FeatureSet
from features.declared.generations import live_features
from features.evaluate.columns import evaluate
from features.layout import Instants, Matrix, missing, row_instants
from features.links import Links, links_in_row, links_of
from features.offline.join import Places, locate, read_links, read_packed
from features.offline.segments import segment_files
from features.views.history import read_history
from features.views.layout import OwnView
from leads.errors import NotFound
from leads.events import Subject
from leads.settings import Settings

# Frames are evaluated this many subjects at a time: the packed rows of a subject take 6 KB.
_CHUNK = 20_000


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
    features: FeatureSet | None = None,
) -> Frame:
    """The contract's matrix with the features that were visible at each instant.

    Args:
        subjects: n subjects; unknown ones give NaN.
        texts: their n texts, None where they have none.
        as_of: (n,) µs since epoch; the newest row with `visible_at` ≤ `as_of` is used.
        features: by default, the live ones.

    Raises:
        NotFound: the worker has not derived any features yet, or the Parquet source of an own view is missing.
    """
    features = features or live_features(settings)
    n_roles = len(features.roles)
    located = _Located(settings, features, subjects, np.repeat(as_of[:, None], n_roles, axis=1))
    matrix = np.empty((len(subjects), len(contract.columns)), np.float32)
    row_at = np.empty((len(subjects), n_roles), np.int64)
    with tempfile.TemporaryDirectory(prefix="leads-frames-") as folder:
        packed = located.packed(Path(folder))
        for start in range(0, len(subjects), _CHUNK):
            part = slice(start, start + _CHUNK)
            rows = {role: np.asarray(values[part]) for role, values in packed.items()}
            matrix[part] = evaluate(contract, rows, as_of[part], texts[part], features).matrix
            row_at[part] = row_instants(rows)
    return Frame(matrix, row_at)


def rows_at(
    settings: Settings,
    subjects: Sequence[Subject],
    as_of: Instants,
    links: Sequence[Links] | None = None,
    features: FeatureSet | None = None,
    available: Instants | None = None,
) -> StoredRows:
    """The stored rows of each role at that role's instant.

    Args:
        subjects: n subjects.
        as_of: (n, roles) µs since epoch; 0 to leave the row out.
        links: n links to follow; default: those stored at the time.
        features: by default, the live ones.
        available: (n,) µs: when rows of own views must have become available; by default, as of their instant.

    Raises:
        NotFound: the worker has not derived any features yet, or the Parquet source of an own view is missing.
    """
    located = _Located(settings, features or live_features(settings), subjects, as_of, links, available)
    packed = located.packed()
    return StoredRows(packed, row_instants(packed), located.links)


class _Located:
    """Where the rows of n subjects are, by role, and their links."""

    def __init__(
        self,
        settings: Settings,
        features: FeatureSet,
        subjects: Sequence[Subject],
        as_of: Instants,
        links: Sequence[Links] | None = None,
        available: Instants | None = None,
    ) -> None:
        if not (settings.features_dir / "registry.db").exists():
            raise NotFound("No features have been derived yet.", remedy="Run: leads worker --once")
        self._n = len(subjects)
        self._roles = features.roles
        self._files = {layout.view: segment_files(settings, layout, features) for layout in features.layouts}
        self._at = dict(zip(self._roles, as_of.T, strict=True))
        self._available = available
        self._keys: dict[str, Sequence[str | None]] = {}
        self._places: dict[str, Places] = {}
        stored = {"item": self._linked("item", [subject.key for subject in subjects])}
        if links is None:
            links = [
                links_of(subject, links_in_row(found)) for subject, found in zip(subjects, stored["item"], strict=True)
            ]
        self.links = list(links)
        stored["account"] = self._linked("account", [link.account_id for link in links])
        self._locate("parent", [link.parent_key for link in links])
        self._locate("bucket_0", [link.bucket_0 for link in links])
        self._locate("bucket_1", [link.bucket_1 for link in links])
        for role, source, place in features.followed:
            self._locate(role, [found[place] for found in stored[source]])

    def packed(self, folder: Path | None = None) -> dict[str, Matrix]:
        """The rows of each role (n, width), NaN for missing ones. With a folder, they are kept in files there."""
        packed = (
            missing(self._roles, self._n)
            if folder is None
            else {role: self._file(folder, role) for role in self._roles}
        )
        for role, layout in self._roles.items():
            if isinstance(layout, OwnView):
                keys = self._keys[layout.source]
                read_history(layout, keys, self._at[role], packed[role], available=self._available)
            else:
                read_packed(layout, self._places[role], packed[role])
        return packed

    def _file(self, folder: Path, role: str) -> Matrix:
        shape = (self._n, self._roles[role].width)
        if not self._n:
            return np.empty(shape, np.float32)
        rows = np.memmap(folder / role, np.float32, "w+", shape=shape)
        for start in range(0, self._n, _CHUNK):
            rows[start : start + _CHUNK] = np.nan
        return rows

    def _linked(self, role: str, keys: Sequence[str | None]) -> list[tuple[str | None, ...]]:
        self._locate(role, keys)
        return read_links(self._roles[role], self._places[role])

    def _locate(self, role: str, keys: Sequence[str | None]) -> None:
        layout = self._roles[role]
        self._keys[role] = keys
        self._places[role] = locate(self._files[layout.view], layout, keys, self._at[role])

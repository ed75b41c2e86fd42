"""Tracks, episodes and playlists, and how popular each is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from leads.clock import DAY, HOUR, Micros
from leads.events import ItemCreated, SubjectRef
from simulation.timeline import IntArray

_MAX_INITIAL_AGE = 2 * 365 * DAY
_TYPES = ("track", "episode", "playlist")
_TYPE_SHARES = (0.7, 0.08, 0.22)
TRACK, EPISODE, PLAYLIST = range(3)


class Catalogue:
    """Columns with one entry per item.

    `type`, `creator` (account index), `created_at` (µs), `duration_s`, `popularity` (relative popularity).
    """

    def __init__(self) -> None:
        self.type: npt.NDArray[np.int8] = np.empty(0, np.int8)
        self.creator: IntArray = np.empty(0, np.int64)
        self.created_at: IntArray = np.empty(0, np.int64)
        self.duration_s: npt.NDArray[np.float64] = np.empty(0)
        self.popularity: npt.NDArray[np.float64] = np.empty(0)
        self.refs: list[SubjectRef] = []
        self.titles: list[str] = []

    def __len__(self) -> int:
        return len(self.refs)

    def publish(self, rng: Generator, creators: IntArray, created_at: IntArray, title: Callable[[], str]) -> IntArray:
        """Add one item for each creator and return their indices."""
        n, first = len(creators), len(self)
        types = rng.choice(np.arange(3, dtype=np.int8), n, p=_TYPE_SHARES)
        lengths = np.stack([rng.normal(205, 45, n).clip(45, 600), rng.normal(2_400, 700, n).clip(300, 7_200)])
        # One track in twelve is a short sleep track, such as rain or piano: looped by honest listeners.
        lengths[0] = np.where(rng.random(n) < 1 / 12, rng.triangular(31, 33, 90, n), lengths[0])
        self.type = np.concatenate([self.type, types])
        self.creator = np.concatenate([self.creator, creators])
        self.created_at = np.concatenate([self.created_at, created_at])
        self.duration_s = np.concatenate(
            [self.duration_s, np.round(lengths[(types == EPISODE).astype(int), np.arange(n)])]
        )
        # A playlist is never played itself, only its tracks are.
        self.popularity = np.concatenate([self.popularity, np.where(types == PLAYLIST, 0, rng.pareto(1.1, n) + 0.02)])
        self.refs.extend(
            SubjectRef(_TYPES[kind], f"{_TYPES[kind][0]}{i:06d}") for i, kind in enumerate(types.tolist(), first)
        )
        self.titles.extend(title() for _ in range(n))
        return np.arange(first, first + n)

    def creation_event(self, item: int, creator_id: str) -> ItemCreated:
        playlist = self.type[item] == PLAYLIST
        return ItemCreated(
            self.refs[item],
            account_id=creator_id,
            text=self.titles[item],
            duration_s=None if playlist else float(self.duration_s[item]),
        )

    def sample(self, rng: Generator, n: int, before: Micros) -> IntArray:
        """Indices of `n` random items that existed before a time, weighted by popularity."""
        weights = np.cumsum(np.where(self.created_at < before, self.popularity, 0.0))
        drawn: IntArray = np.searchsorted(weights, rng.random(n) * weights[-1], side="right").clip(0, len(self) - 1)
        return drawn

    def sleep_tracks(self) -> IntArray:
        """Indices of the short tracks that people loop at night."""
        return np.flatnonzero((self.type == TRACK) & (self.duration_s < 100))


def initial_creation_times(rng: Generator, n: int, start: Micros, creators_created_at: IntArray) -> IntArray:
    """Creation times (µs) of items that exist at the start: each after its creator's."""
    created = start - (rng.random(n) * _MAX_INITIAL_AGE).astype(np.int64)
    return np.minimum(np.maximum(created, creators_created_at + HOUR // 2), start - 1)

"""What is there to hear: tracks, episodes and playlists, and how popular each is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from leads.clock import DAY, HOUR, Micros
from leads.events import ItemCreated, SubjectRef
from simulation.randomness import Arrays
from simulation.timeline import Longs

_FOUNDING_AGE = 2 * 365 * DAY
_TYPES = ("track", "episode", "playlist")
_TYPE_SHARES = (0.7, 0.08, 0.22)
TRACK, EPISODE, PLAYLIST = range(3)


class Catalogue:
    """Columns, one entry an item: `type`, `maker` (account), `created_at` µs, `duration_s`, `weight` (popularity)."""

    def __init__(self) -> None:
        self.type: npt.NDArray[np.int8] = np.empty(0, np.int8)
        self.maker: Longs = np.empty(0, np.int64)
        self.created_at: Longs = np.empty(0, np.int64)
        self.duration_s: npt.NDArray[np.float64] = np.empty(0)
        self.weight: npt.NDArray[np.float64] = np.empty(0)
        self.refs: list[SubjectRef] = []
        self.titles: list[str] = []

    def __len__(self) -> int:
        return len(self.refs)

    def publish(self, rng: Arrays, makers: Longs, created_at: Longs, title: Callable[[], str]) -> Longs:
        """Add one item per maker; returns their indices."""
        n, first = len(makers), len(self)
        types = rng.choice(np.arange(3, dtype=np.int8), n, p=_TYPE_SHARES)
        lengths = np.stack([rng.normal(205, 45, n).clip(45, 600), rng.normal(2_400, 700, n).clip(300, 7_200)])
        # Every twelfth track is for sleeping: rain and piano cut short, as honest as they are repetitive.
        lengths[0] = np.where(rng.random(n) < 1 / 12, rng.triangular(31, 33, 90, n), lengths[0])
        self.type = np.concatenate([self.type, types])
        self.maker = np.concatenate([self.maker, makers])
        self.created_at = np.concatenate([self.created_at, created_at])
        self.duration_s = np.concatenate(
            [self.duration_s, np.round(lengths[(types == EPISODE).astype(int), np.arange(n)])]
        )
        # A playlist is heard through its tracks.
        self.weight = np.concatenate([self.weight, np.where(types == PLAYLIST, 0, rng.pareto(1.1, n) + 0.02)])
        self.refs.extend(
            SubjectRef(_TYPES[kind], f"{_TYPES[kind][0]}{i:06d}") for i, kind in enumerate(types.tolist(), first)
        )
        self.titles.extend(title() for _ in range(n))
        return np.arange(first, first + n)

    def creation(self, item: int, maker_id: str) -> ItemCreated:
        playlist = self.type[item] == PLAYLIST
        return ItemCreated(
            self.refs[item],
            account_id=maker_id,
            text=self.titles[item],
            duration_s=None if playlist else float(self.duration_s[item]),
        )

    def popular(self, rng: Arrays, n: int, before: Micros) -> Longs:
        """`n` items drawn by popularity from those that existed before an instant."""
        weights = np.cumsum(np.where(self.created_at < before, self.weight, 0.0))
        drawn: Longs = np.searchsorted(weights, rng.random(n) * weights[-1], side="right").clip(0, len(self) - 1)
        return drawn

    def sleepy(self) -> Longs:
        """The short tracks that people loop at night."""
        return np.flatnonzero((self.type == TRACK) & (self.duration_s < 100))


def founding_times(rng: Arrays, n: int, start: Micros, makers_created_at: Longs) -> Longs:
    """When items that exist at the start were made: after their makers were."""
    wished = start - (rng.random(n) * _FOUNDING_AGE).astype(np.int64)
    return np.minimum(np.maximum(wished, makers_created_at + HOUR // 2), start - 1)

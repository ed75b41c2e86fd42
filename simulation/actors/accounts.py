"""Who is on the platform: columns over accounts, which only ever grow."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from leads.clock import DAY, HOUR, MINUTE, Micros
from leads.events import ItemCreated, SubjectRef
from simulation.randomness import Arrays
from simulation.timeline import Longs

# Founding accounts are up to three years old; of the others of a period, this share signs up while it runs.
_FOUNDING_AGE = 3 * 365 * DAY
_JOINING_SHARE = 0.15


class Kind(IntEnum):
    """What an account is for. Only `FARM` is artificial streaming; sleepers, shops and scouts merely look like it."""

    LISTENER = 0
    CREATOR = 1
    SLEEPER = 2
    SHOP = 3
    SPAMMER = 4
    SCOUT = 5
    FARM = 6


# Plays per day as a multiple of an ordinary listener's; farms play as their ring says.
_BUSY = {
    Kind.LISTENER: 1.0,
    Kind.CREATOR: 0.8,
    Kind.SLEEPER: 14.0,
    Kind.SHOP: 22.0,
    Kind.SPAMMER: 0.3,
    Kind.SCOUT: 9.0,
    Kind.FARM: 0.0,
}
_SHARES = {Kind.CREATOR: 0.05, Kind.SLEEPER: 0.012, Kind.SHOP: 0.008, Kind.SPAMMER: 0.02, Kind.SCOUT: 0.012}
_TOXIC_SHARE = 0.03
# Mostly Europe, some America, some Asia; seconds ahead of UTC.
_ZONES_S = np.array([0, 1, 1, 1, 2, 2, -5, -6, -8, -3, 5, 8, 9]) * 3_600


class Accounts:
    """Columns, one entry an account: `kind`, `created_at` µs, `busy`, `zone_s`, `toxic`, `device` (a number)."""

    def __init__(self) -> None:
        self.kind: npt.NDArray[np.int8] = np.empty(0, np.int8)
        self.created_at: Longs = np.empty(0, np.int64)
        self.busy: npt.NDArray[np.float64] = np.empty(0)
        self.zone_s: Longs = np.empty(0, np.int64)
        self.toxic: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self.device: Longs = np.empty(0, np.int64)
        self.ids: list[str] = []

    def __len__(self) -> int:
        return len(self.ids)

    def join(self, rng: Arrays, kinds: npt.NDArray[np.int8], created_at: Longs) -> Longs:
        """Add accounts; returns their indices."""
        n, first = len(kinds), len(self)
        busy = np.array([_BUSY[kind] for kind in Kind])[kinds]
        self.kind = np.concatenate([self.kind, kinds])
        self.created_at = np.concatenate([self.created_at, created_at])
        # Most listeners play little and some a lot; the mean stays one.
        self.busy = np.concatenate([self.busy, busy * rng.gamma(1.2, 1 / 1.2, n).clip(0.05, 4)])
        self.zone_s = np.concatenate([self.zone_s, rng.choice(_ZONES_S, n)])
        toxic = (rng.random(n) < _TOXIC_SHARE) & (kinds == Kind.LISTENER)
        self.toxic = np.concatenate([self.toxic, toxic])
        # Shops of one chain play from one device account, as farms do.
        own = np.arange(first, first + n)
        self.device = np.concatenate([self.device, np.where(kinds == Kind.SHOP, own // 40 * 40, own)])
        self.ids.extend(f"a{i:06d}" for i in range(first, first + n))
        return own

    def of_kind(self, *kinds: Kind, before: Micros | None = None) -> Longs:
        """Indices of the accounts of these kinds, those created before an instant if one is given."""
        chosen = np.isin(self.kind, kinds)
        if before is not None:
            chosen &= self.created_at < before
        return np.flatnonzero(chosen)

    def creation(self, account: int) -> ItemCreated:
        return ItemCreated(SubjectRef("account", self.ids[account]), account_id=self.ids[account])


def ordinary(rng: Arrays, n: int, start: Micros, days: int, *, founding: bool) -> tuple[npt.NDArray[np.int8], Longs]:
    """Kinds and creation times of `n` accounts that belong to no farm. Spammers are young, most others old."""
    kinds = rng.choice(
        np.array([Kind.LISTENER, *_SHARES], np.int8), n, p=[1 - sum(_SHARES.values()), *_SHARES.values()]
    )
    joins = start + (rng.random(n) * days * DAY).astype(np.int64)
    if not founding:
        return kinds, joins
    created = start - (rng.beta(0.9, 1.6, n) * _FOUNDING_AGE).astype(np.int64) - HOUR
    created = np.where(kinds == Kind.SPAMMER, start - (rng.random(n) * 20 * DAY).astype(np.int64) - HOUR, created)
    late = (rng.random(n) < _JOINING_SHARE) & (kinds != Kind.SPAMMER) & (kinds != Kind.CREATOR)
    return kinds, np.where(late, np.maximum(joins, start + MINUTE), created)

"""The accounts on the platform, as columns that only grow."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from leads.clock import DAY, HOUR, MINUTE, Micros
from leads.events import ItemCreated, SubjectRef
from simulation.timeline import IntArray

_MAX_INITIAL_AGE = 3 * 365 * DAY
# Share of a period's accounts that sign up while it runs.
SIGNUP_SHARE = 0.15


class AccountKind(IntEnum):
    """Only `FARM` accounts stream artificially; sleepers, shops and scouts are honest but look similar."""

    LISTENER = 0
    CREATOR = 1
    SLEEPER = 2
    SHOP = 3
    SPAMMER = 4
    SCOUT = 5
    FARM = 6


# Plays per day as a multiple of an average listener's. Farms have a rate of their own.
_ACTIVITY = {
    AccountKind.LISTENER: 1.0,
    AccountKind.CREATOR: 0.8,
    AccountKind.SLEEPER: 14.0,
    AccountKind.SHOP: 22.0,
    AccountKind.SPAMMER: 0.3,
    AccountKind.SCOUT: 9.0,
    AccountKind.FARM: 0.0,
}
# The other accounts are listeners.
_SHARES = {
    AccountKind.CREATOR: 0.05,
    AccountKind.SLEEPER: 0.012,
    AccountKind.SHOP: 0.008,
    AccountKind.SPAMMER: 0.02,
    AccountKind.SCOUT: 0.012,
}
_TOXIC_SHARE = 0.03
# Seconds ahead of UTC: mostly Europe, some America, some Asia.
_UTC_OFFSETS_S = np.array([0, 1, 1, 1, 2, 2, -5, -6, -8, -3, 5, 8, 9]) * 3_600


class Accounts:
    """Columns with one entry per account.

    `kind`, `created_at` (µs), `activity` (multiple of an average listener's plays), `utc_offset_s`, `toxic` (likely to
    write harmful comments), `device` (number).
    """

    def __init__(self) -> None:
        self.kind: npt.NDArray[np.int8] = np.empty(0, np.int8)
        self.created_at: IntArray = np.empty(0, np.int64)
        self.activity: npt.NDArray[np.float64] = np.empty(0)
        self.utc_offset_s: IntArray = np.empty(0, np.int64)
        self.toxic: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self.device: IntArray = np.empty(0, np.int64)
        self.ids: list[str] = []

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, rng: Generator, kinds: npt.NDArray[np.int8], created_at: IntArray) -> IntArray:
        """Add accounts and return their indices."""
        n, first = len(kinds), len(self)
        activity = np.array([_ACTIVITY[kind] for kind in AccountKind])[kinds]
        self.kind = np.concatenate([self.kind, kinds])
        self.created_at = np.concatenate([self.created_at, created_at])
        # Most accounts play little and some a lot; the random factor averages about one.
        self.activity = np.concatenate([self.activity, activity * rng.gamma(1.2, 1 / 1.2, n).clip(0.05, 4)])
        self.utc_offset_s = np.concatenate([self.utc_offset_s, rng.choice(_UTC_OFFSETS_S, n)])
        toxic = (rng.random(n) < _TOXIC_SHARE) & (kinds == AccountKind.LISTENER)
        self.toxic = np.concatenate([self.toxic, toxic])
        # The shops of a chain share a device, as farm accounts do.
        indices = np.arange(first, first + n)
        self.device = np.concatenate([self.device, np.where(kinds == AccountKind.SHOP, indices // 40 * 40, indices)])
        self.ids.extend(f"a{i:06d}" for i in range(first, first + n))
        return indices

    def of_kind(self, *kinds: AccountKind, before: Micros | None = None) -> IntArray:
        """Indices of the accounts of the given kinds, optionally only those created before a time."""
        matches = np.isin(self.kind, kinds)
        if before is not None:
            matches &= self.created_at < before
        return np.flatnonzero(matches)

    def creation_event(self, account: int) -> ItemCreated:
        return ItemCreated(SubjectRef("account", self.ids[account]), account_id=self.ids[account])


def non_farm_accounts(
    rng: Generator, n: int, start: Micros, days: int, *, initial: bool
) -> tuple[npt.NDArray[np.int8], IntArray]:
    """Kinds and creation times (µs) of `n` accounts that belong to no farm. Spammers are recent, most others old.

    Args:
        initial: the accounts exist when the simulation starts, apart from a share that signs up later.
    """
    kinds = rng.choice(
        np.array([AccountKind.LISTENER, *_SHARES], np.int8), n, p=[1 - sum(_SHARES.values()), *_SHARES.values()]
    )
    signups = start + (rng.random(n) * days * DAY).astype(np.int64)
    if not initial:
        return kinds, signups
    created = start - (rng.beta(0.9, 1.6, n) * _MAX_INITIAL_AGE).astype(np.int64) - HOUR
    recent = start - (rng.random(n) * 20 * DAY).astype(np.int64) - HOUR
    created = np.where(kinds == AccountKind.SPAMMER, recent, created)
    late = (rng.random(n) < SIGNUP_SHARE) & (kinds != AccountKind.SPAMMER) & (kinds != AccountKind.CREATOR)
    return kinds, np.where(late, np.maximum(signups, start + MINUTE), created)

"""Plays: who listens to what, for how long, on which device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from leads.clock import DAY, Micros
from leads.events import Played
from simulation.actors.accounts import AccountKind, Accounts
from simulation.actors.catalogue import Catalogue
from simulation.daytime import ASLEEP, AWAKE, OPEN, random_times
from simulation.timeline import Draft, IntArray, play_delays

_WEEKEND_FACTOR = 1.15
_SKIP_SHARE, _FULL_SHARE = 0.25, 0.55
_SECOND_DEVICE_SHARE = 0.2
_SCOUTED_SHARE = 0.8


class Plays(NamedTuple):
    """Columns with one entry per play: `occurred_at` in µs, indices of `account` and `item`, and `seconds` played."""

    occurred_at: IntArray
    account: IntArray
    item: IntArray
    seconds: npt.NDArray[np.float64]
    device: IntArray

    def select(self, mask: npt.NDArray[np.bool_]) -> Plays:
        """The plays where `mask`, (n,), is true."""
        return Plays(
            self.occurred_at[mask],
            self.account[mask],
            self.item[mask],
            self.seconds[mask],
            self.device[mask],
        )


def honest_plays(rng: Generator, accounts: Accounts, catalogue: Catalogue, day_start: Micros, mean: float) -> Plays:
    """One day of plays by all accounts outside farms; `mean` is an average listener's plays per day."""
    weekend = (day_start // DAY + 4) % 7 in (0, 6)
    counts = rng.poisson(accounts.activity * mean * (_WEEKEND_FACTOR if weekend else 1.0))
    account = np.repeat(np.arange(len(accounts)), counts)
    kind = accounts.kind[account]
    utc_offset_s = accounts.utc_offset_s[account]
    at = random_times(rng, day_start, utc_offset_s, AWAKE)
    for special, hours in ((AccountKind.SLEEPER, ASLEEP), (AccountKind.SHOP, OPEN)):
        mask = kind == special
        at[mask] = random_times(rng, day_start, utc_offset_s[mask], hours)
    item = catalogue.sample(rng, len(account), day_start)
    sleepers = np.flatnonzero(kind == AccountKind.SLEEPER)
    sleep_tracks = catalogue.sleep_tracks()
    # Each sleeper loops about three tracks.
    favourite = (account[sleepers] * 7 + rng.integers(0, 3, len(sleepers))) % max(len(sleep_tracks), 1)
    if len(sleep_tracks):
        item[sleepers] = sleep_tracks[favourite]
    seconds = _seconds(rng, catalogue.duration_s[item], skips=~np.isin(kind, (AccountKind.SLEEPER, AccountKind.SHOP)))
    # Scouts pick songs for playlists and shows, and listen to about half a minute of each.
    scouting = (kind == AccountKind.SCOUT) & (rng.random(len(account)) < _SCOUTED_SHARE)
    seconds = np.where(scouting, np.minimum(rng.uniform(29, 38, len(account)), seconds.clip(29)), seconds)
    second_device = (rng.random(len(account)) < _SECOND_DEVICE_SHARE) & (kind != AccountKind.SHOP)
    device = accounts.device[account] * 2 + second_device
    exists = (at > accounts.created_at[account]) & (at > catalogue.created_at[item])
    return Plays(at, account, item, seconds, device).select(exists)


def _seconds(
    rng: Generator, duration_s: npt.NDArray[np.float64], skips: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """(n,) seconds played: most plays run to the end, some are skipped within half a minute, some stop midway."""
    n = len(duration_s)
    draw = rng.random(n)
    partial = rng.uniform(0.15, 1.0, n) * duration_s
    skipped = np.minimum(rng.uniform(1, 34, n), duration_s)
    seconds = np.where(draw < _SKIP_SHARE + _FULL_SHARE, duration_s, partial)
    return np.where((draw < _SKIP_SHARE) & skips, skipped, seconds)


def concatenate(parts: list[Plays]) -> Plays:
    """All plays of several parts as one."""
    return Plays(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def to_drafts(rng: Generator, plays: Plays, accounts: Accounts, catalogue: Catalogue) -> list[Draft]:
    """The plays as drafts of events, with the delay after which each becomes visible."""
    visible = (plays.occurred_at + play_delays(rng, len(plays.account))).tolist()
    ids, refs = accounts.ids, catalogue.refs
    columns = zip(
        visible,
        plays.occurred_at.tolist(),
        plays.account.tolist(),
        plays.item.tolist(),
        np.round(plays.seconds, 1).tolist(),
        plays.device.tolist(),
        strict=True,
    )
    return [
        Draft(visible_at, at, Played(refs[item], ids[account], seconds, f"d{device:06d}"))
        for visible_at, at, account, item, seconds, device in columns
    ]

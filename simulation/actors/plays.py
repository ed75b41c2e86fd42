"""Who listens to what, for how long, from which device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leads.clock import DAY, Micros
from leads.events import Played
from simulation.actors.accounts import Accounts, Kind
from simulation.actors.catalogue import Catalogue
from simulation.daytime import ASLEEP, AWAKE, OPEN, instants
from simulation.randomness import Arrays
from simulation.timeline import Draft, Longs, play_delays

_WEEKEND = 1.15
_SKIP_SHARE, _FULL_SHARE = 0.25, 0.55
_SECOND_DEVICE_SHARE = 0.2
_SCOUTED_SHARE = 0.8


class Plays(NamedTuple):
    """Columns, one entry a play. `seconds` as played, `device` a number that `device_id` makes an id."""

    occurred_at: Longs
    account: Longs
    item: Longs
    seconds: npt.NDArray[np.float64]
    device: Longs

    def where(self, chosen: npt.NDArray[np.bool_]) -> Plays:
        """The plays for which `chosen` holds."""
        return Plays(
            self.occurred_at[chosen],
            self.account[chosen],
            self.item[chosen],
            self.seconds[chosen],
            self.device[chosen],
        )


def honest(rng: Arrays, accounts: Accounts, catalogue: Catalogue, day_start: Micros, mean: float) -> Plays:
    """One day of everybody who belongs to no farm; `mean` plays a day for an ordinary listener."""
    weekend = (day_start // DAY + 4) % 7 in (0, 6)
    counts = rng.poisson(accounts.busy * mean * (_WEEKEND if weekend else 1.0))
    account = np.repeat(np.arange(len(accounts)), counts)
    kind = accounts.kind[account]
    zone = accounts.zone_s[account]
    at = instants(rng, day_start, zone, AWAKE)
    for special, hours in ((Kind.SLEEPER, ASLEEP), (Kind.SHOP, OPEN)):
        chosen = kind == special
        at[chosen] = instants(rng, day_start, zone[chosen], hours)
    item = catalogue.popular(rng, len(account), day_start)
    sleepers = np.flatnonzero(kind == Kind.SLEEPER)
    sleepy = catalogue.sleepy()
    # A sleeper keeps to three tracks or so.
    favourite = (account[sleepers] * 7 + rng.integers(0, 3, len(sleepers))) % max(len(sleepy), 1)
    if len(sleepy):
        item[sleepers] = sleepy[favourite]
    seconds = _seconds(rng, catalogue.duration_s[item], skips=~np.isin(kind, (Kind.SLEEPER, Kind.SHOP)))
    # Scouts, who pick songs for playlists and shows, hear half a minute of each.
    scouting = (kind == Kind.SCOUT) & (rng.random(len(account)) < _SCOUTED_SHARE)
    seconds = np.where(scouting, np.minimum(rng.uniform(29, 38, len(account)), seconds.clip(29)), seconds)
    second_device = (rng.random(len(account)) < _SECOND_DEVICE_SHARE) & (kind != Kind.SHOP)
    device = accounts.device[account] * 2 + second_device
    there = (at > accounts.created_at[account]) & (at > catalogue.created_at[item])
    return Plays(at, account, item, seconds, device).where(there)


def _seconds(rng: Arrays, duration_s: npt.NDArray[np.float64], skips: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Some skip within half a minute, most hear it out, some stop on the way."""
    n = len(duration_s)
    how = rng.random(n)
    partly = rng.uniform(0.15, 1.0, n) * duration_s
    skipped = np.minimum(rng.uniform(1, 34, n), duration_s)
    seconds = np.where(how < _SKIP_SHARE + _FULL_SHARE, duration_s, partly)
    return np.where((how < _SKIP_SHARE) & skips, skipped, seconds)


def joined(parts: list[Plays]) -> Plays:
    """The plays of all parts."""
    return Plays(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def drafts(rng: Arrays, plays: Plays, accounts: Accounts, catalogue: Catalogue) -> list[Draft]:
    """As events, with the delays after which they become known."""
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
        Draft(known, at, Played(refs[item], ids[account], seconds, f"d{device:06d}"))
        for known, at, account, item, seconds, device in columns
    ]

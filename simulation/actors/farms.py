"""Stream-manipulation farms: rings of young accounts that play a few tracks for half a minute, adapt, and stop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from leads.clock import DAY, HOUR, Micros
from simulation.actors.accounts import Accounts, Kind
from simulation.actors.catalogue import TRACK, Catalogue
from simulation.actors.plays import Plays
from simulation.randomness import Arrays
from simulation.timeline import Longs

_SMALLEST, _LARGEST = 6, 22
# Plays a day of one member, as a multiple of an ordinary listener's.
_BUSY = 18.0


class Ring(NamedTuple):
    """One farm, active from `start` to `stop`. From `adapts_at` on it hides better; `care` (0 to 1) says how well it
    hid before."""

    start: Micros
    adapts_at: Micros
    stop: Micros
    members: Longs
    items: Longs
    devices: Longs
    pace: float
    care: float


class Manner(NamedTuple):
    """How a ring plays: shortest and longest play in seconds, the share of plays that are camouflage, bursts a day,
    and whether devices are shared."""

    shortest: float
    longest: float
    camouflage: float
    bursts: int
    shares_devices: bool


_PLAIN = Manner(30.5, 35.5, 0.08, 4, True)
_ADAPTED = Manner(31.0, 75.0, 0.3, 7, True)
_CHANGED = Manner(60.0, 190.0, 0.45, 12, False)


def found(
    rng: Arrays, accounts: Accounts, catalogue: Catalogue, start: Micros, days: int, members: int, *, founding: bool
) -> list[Ring]:
    """Rings of `members` accounts in all that form in the `days` from `start`; when `founding`, also just before."""
    rings: list[Ring] = []
    while members > 0:
        size = min(int(rng.integers(_SMALLEST, _LARGEST + 1)), members)
        # A rest too small for a ring joins this one.
        size = members if members - size < _SMALLEST else size
        members -= size
        begins = start + int(rng.uniform(*((-0.1, 0.8) if founding else (0.0, 0.4))) * days * DAY)
        created = begins - (rng.uniform(0.05, 3.0, size) * DAY).astype(np.int64)
        if not founding:
            created = np.maximum(created, start + (rng.random(size) * 2 * HOUR).astype(np.int64))
            begins = max(begins, int(created.max()))
        rings.append(_ring(rng, accounts, catalogue, begins, created))
    return rings


def _ring(rng: Arrays, accounts: Accounts, catalogue: Catalogue, begins: Micros, created: Longs) -> Ring:
    lasts = int(rng.uniform(4, 12) * DAY)
    members = accounts.join(rng, np.full(len(created), Kind.FARM, np.int8), created)
    return Ring(
        begins,
        begins + int(rng.uniform(0.4, 0.8) * lasts),
        begins + lasts,
        members,
        _targets(rng, catalogue, begins),
        rng.choice(members, max(2, len(members) // 4)),
        float(rng.uniform(0.3, 1.6)),
        float(rng.beta(1.2, 2.0)),
    )


def plays(
    rng: Arrays, rings: list[Ring], catalogue: Catalogue, day_start: Micros, mean: float, *, changed: bool
) -> list[Plays]:
    """One day of each ring that is active on it; `mean` is an ordinary listener's plays a day."""
    return [
        _ring_day(rng, ring, catalogue, day_start, mean, changed=changed)
        for ring in rings
        if ring.start < day_start + DAY and ring.stop > day_start
    ]


def _ring_day(rng: Arrays, ring: Ring, catalogue: Catalogue, day_start: Micros, mean: float, *, changed: bool) -> Plays:
    manner = _CHANGED if changed else _ADAPTED if ring.adapts_at <= day_start else _PLAIN
    member = np.repeat(np.arange(len(ring.members)), rng.poisson(mean * _BUSY * ring.pace, len(ring.members)))
    n = len(member)
    # Plays come in bursts, at any hour, so that an hour holds many of them.
    bursts = rng.integers(0, 24, (len(ring.members), manner.bursts)) * HOUR
    burst = bursts[member, rng.integers(0, manner.bursts, n)]
    at = day_start + burst + (rng.random(n) * HOUR).astype(np.int64)
    item = rng.choice(ring.items, n)
    hidden = rng.random(n) < np.maximum(manner.camouflage, 0.9 * ring.care)
    item[hidden] = catalogue.popular(rng, int(hidden.sum()), day_start)
    seconds = rng.uniform(manner.shortest, manner.longest + 40 * ring.care**2, n)
    stray = hidden | (rng.random(n) < 0.08)
    seconds[stray] = rng.uniform(0.1, 1.0, int(stray.sum())) * catalogue.duration_s[item[stray]]
    account = ring.members[member]
    device = 2 * (ring.devices[member % len(ring.devices)] if manner.shares_devices else account)
    active = (at >= ring.start) & (at < ring.stop)
    return Plays(at, account, item, np.maximum(seconds, 1.0), device).where(active)


def _targets(rng: Arrays, catalogue: Catalogue, before: Micros) -> Longs:
    """The few tracks a ring is paid for: one maker's, as far as they go."""
    tracks = np.flatnonzero((catalogue.type == TRACK) & (catalogue.created_at < before))
    maker = catalogue.maker[rng.choice(tracks)]
    own = tracks[catalogue.maker[tracks] == maker]
    chosen: Longs = own[: int(rng.integers(2, 7))]
    return chosen

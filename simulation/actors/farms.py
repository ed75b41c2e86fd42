"""Stream-manipulation farms: groups of young accounts play a few tracks for half a minute each, adapt, and stop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from leads.clock import DAY, HOUR, Micros
from simulation.actors.accounts import AccountKind, Accounts
from simulation.actors.catalogue import TRACK, Catalogue
from simulation.actors.plays import Plays
from simulation.timeline import IntArray

_MIN_MEMBERS, _MAX_MEMBERS = 6, 22
# Plays per member and day, as a multiple of an average listener's.
_ACTIVITY = 18.0


class Farm(NamedTuple):
    """One farm, active from `start` to `stop` (µs). `stealth` (0 to 1): how well it hides until it adapts."""

    start: Micros
    adapts_at: Micros
    stop: Micros
    members: IntArray
    items: IntArray
    devices: IntArray
    pace: float
    stealth: float


class PlayStyle(NamedTuple):
    """How a farm plays: shortest and longest play in seconds, share of plays that are camouflage, bursts per day, and
    whether its accounts share devices."""

    min_s: float
    max_s: float
    camouflage: float
    bursts: int
    shares_devices: bool


_PLAIN = PlayStyle(30.5, 35.5, 0.08, 4, True)
_ADAPTED = PlayStyle(31.0, 75.0, 0.3, 7, True)
_CHANGED = PlayStyle(60.0, 190.0, 0.45, 12, False)


def create_farms(
    rng: Generator, accounts: Accounts, catalogue: Catalogue, start: Micros, days: int, members: int, *, initial: bool
) -> list[Farm]:
    """Farms that form within the `days` from `start`, with `members` accounts in total.

    Args:
        initial: some farms may have formed shortly before `start`.
    """
    farms: list[Farm] = []
    while members > 0:
        size = min(int(rng.integers(_MIN_MEMBERS, _MAX_MEMBERS + 1)), members)
        # If too few accounts remain for another farm, they join this one.
        size = members if members - size < _MIN_MEMBERS else size
        members -= size
        begins = start + int(rng.uniform(*((-0.1, 0.8) if initial else (0.0, 0.4))) * days * DAY)
        created = begins - (rng.uniform(0.05, 3.0, size) * DAY).astype(np.int64)
        if not initial:
            created = np.maximum(created, start + (rng.random(size) * 2 * HOUR).astype(np.int64))
            begins = max(begins, int(created.max()))
        farms.append(_farm(rng, accounts, catalogue, begins, created))
    return farms


def _farm(rng: Generator, accounts: Accounts, catalogue: Catalogue, start: Micros, created: IntArray) -> Farm:
    duration = int(rng.uniform(4, 12) * DAY)
    members = accounts.add(rng, np.full(len(created), AccountKind.FARM, np.int8), created)
    return Farm(
        start=start,
        adapts_at=start + int(rng.uniform(0.4, 0.8) * duration),
        stop=start + duration,
        members=members,
        items=_targets(rng, catalogue, start),
        devices=rng.choice(members, max(2, len(members) // 4)),
        pace=float(rng.uniform(0.3, 1.6)),
        stealth=float(rng.beta(1.2, 2.0)),
    )


def farm_plays(
    rng: Generator, farms: list[Farm], catalogue: Catalogue, day_start: Micros, mean: float, *, changed: bool
) -> list[Plays]:
    """One day of plays by each farm active on it; `mean` is an average listener's plays per day."""
    return [
        _farm_day(rng, farm, catalogue, day_start, mean, changed=changed)
        for farm in farms
        if farm.start < day_start + DAY and farm.stop > day_start
    ]


def _farm_day(
    rng: Generator, farm: Farm, catalogue: Catalogue, day_start: Micros, mean: float, *, changed: bool
) -> Plays:
    style = _CHANGED if changed else _ADAPTED if farm.adapts_at <= day_start else _PLAIN
    member = np.repeat(np.arange(len(farm.members)), rng.poisson(mean * _ACTIVITY * farm.pace, len(farm.members)))
    n = len(member)
    # Plays come in bursts at any hour, so that some hours contain many of them.
    bursts = rng.integers(0, 24, (len(farm.members), style.bursts)) * HOUR
    burst = bursts[member, rng.integers(0, style.bursts, n)]
    at = day_start + burst + (rng.random(n) * HOUR).astype(np.int64)
    item = rng.choice(farm.items, n)
    camouflage = rng.random(n) < np.maximum(style.camouflage, 0.9 * farm.stealth)
    item[camouflage] = catalogue.sample(rng, int(camouflage.sum()), day_start)
    seconds = rng.uniform(style.min_s, style.max_s + 40 * farm.stealth**2, n)
    any_length = camouflage | (rng.random(n) < 0.08)
    seconds[any_length] = rng.uniform(0.1, 1.0, int(any_length.sum())) * catalogue.duration_s[item[any_length]]
    account = farm.members[member]
    device = 2 * (farm.devices[member % len(farm.devices)] if style.shares_devices else account)
    active = (at >= farm.start) & (at < farm.stop)
    return Plays(at, account, item, np.maximum(seconds, 1.0), device).select(active)


def _targets(rng: Generator, catalogue: Catalogue, before: Micros) -> IntArray:
    """Two to six tracks of one creator for the farm to play, or fewer if the creator has fewer."""
    tracks = np.flatnonzero((catalogue.type == TRACK) & (catalogue.created_at < before))
    creator = catalogue.creator[rng.choice(tracks)]
    candidates = tracks[catalogue.creator[tracks] == creator]
    chosen: IntArray = candidates[: int(rng.integers(2, 7))]
    return chosen

"""Response of `GET /v1/leads/stats`."""

from __future__ import annotations

from leads_client.schemas.base import Instant, Out


class ThroughputOut(Out, frozen=True):
    """How many reviews ended in a span of time, by how they ended."""

    decided: int
    escalated: int
    released: int
    expired: int


class DepthOut(Out, frozen=True):
    """How many leads there are in each state. A lease that has just run out still counts as claimed."""

    open: int
    claimed: int
    decided: int
    escalated: int
    withdrawn: int


class HarmStatsOut(Out, frozen=True):
    """A harm's queue. `oldestOpenS` is the age of the oldest open lead in seconds; null if none is open."""

    harm: str
    leads: DepthOut
    oldest_open_s: float | None
    last_hour: ThroughputOut
    last_24_hours: ThroughputOut


class ReviewerStatsOut(Out, frozen=True):
    """What a reviewer did, and how many leads they hold now."""

    reviewer: str
    held: int
    last_hour: ThroughputOut
    last_24_hours: ThroughputOut


class StatsOut(Out, frozen=True):
    """The queue at the time `at`: its harms by name, and the reviewers who did or hold something, by name."""

    at: Instant
    harms: tuple[HarmStatsOut, ...]
    reviewers: tuple[ReviewerStatsOut, ...]

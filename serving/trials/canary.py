"""Watches each canary: its errors, its time, and how far its scores are from the champion's.

Observations are tested against the limits in policies.yaml. When one is significantly above its limit, the canary
retreats in every process, and the champion answers all requests again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

import numpy as np

from leads.policies import CanaryPolicy, Policies
from models.version import ModelVersion
from serving.trials.evidence import Evidence
from serving.trials.jobs import CanaryJob, Doubles, Places
from serving.trials.retreats import Key, Retreats

# Trials kept per harm. Jobs about earlier champions may still be waiting.
_KEPT_TRIALS = 3
_REMEMBERED_SUBJECTS = 20_000
_LOOKS = 6
K = TypeVar("K", bound=tuple[Hashable, ...])
V = TypeVar("V")


class CanaryCounts(NamedTuple):
    """What this process observed of a canary since its trial began. Shares and shifts are NaN before a comparison.

    Args:
        calls: scoring calls in which it had a share; `errors` is how many of them it failed.
        compared: subjects that the champion scored too.
        slow: share of compared calls that took longer than `max_slowdown` allows.
        tier_shift: share of compared subjects with another tier than the champion's.
        flagged_shift: the same among subjects with a tier by either version.
        score_shift: mean absolute difference of the scores.
    """

    harm: str
    version: str
    calls: int
    errors: int
    compared: int
    slow: float
    tier_shift: float
    flagged_shift: float
    score_shift: float


class _Comparison:
    """What was observed of a canary against one champion."""

    def __init__(self, policy: CanaryPolicy) -> None:
        self.slow = Evidence(0.5, first=policy.at_least, looks=_LOOKS)
        self.tier = Evidence(policy.max_tier_shift, first=policy.at_least, looks=_LOOKS)
        # Few subjects are flagged, and a canary that stops flagging differs only in those.
        self.flagged = Evidence(policy.max_flagged_shift, first=max(8, policy.at_least // 8), looks=_LOOKS)
        self.score = Evidence(policy.max_score_shift, first=policy.at_least, looks=_LOOKS)
        self._subjects: set[int] = set()

    def new(self, subjects: list[str]) -> list[int]:
        """The positions of subjects not compared before, so that a subject sent often counts once."""
        if len(self._subjects) > _REMEMBERED_SUBJECTS:
            self._subjects.clear()
        fresh = []
        for n, subject in enumerate(subjects):
            key = hash(subject)
            if key not in self._subjects:
                self._subjects.add(key)
                fresh.append(n)
        return fresh


class CanaryWatch:
    """Thread-safe. Never blocks, and never raises because of what a canary does."""

    def __init__(self, policies: Policies, retreats: Retreats) -> None:
        self._policies = policies
        self._retreats = retreats
        self._lock = threading.Lock()
        self._calls: dict[Key, Evidence] = {}
        self._compared: dict[tuple[str, str, str], _Comparison] = {}
        retreats.subscribe(self._forget)

    def answered(self, canary: ModelVersion) -> None:
        """A canary scored its share of a call."""
        self._called(canary, None)

    def failed(self, canary: ModelVersion, error: Exception) -> None:
        """A canary failed to score its share of a call; the champion answered instead."""
        self._called(canary, error)

    def compared(self, job: CanaryJob, champion: Doubles, places: Places, *, took_s: tuple[float, float]) -> None:
        """Compare the canary's scores with the champion's, and make the canary retreat if a limit is passed.

        Args:
            champion: (m,) float64, the champion's scores of the job's subjects at `places`.
            places: (m,) positions among the job's n subjects.
            took_s: seconds that canary and champion took for these subjects.
        """
        harm, version = key = job.canary.harm, job.canary.version
        if key in self._retreats.standing:
            return
        policy = self._policies.harms[harm].canary
        with self._lock:
            found = _kept(self._compared, (*key, job.champion.version), lambda: _Comparison(policy))
            why = _slower(found.slow, policy, *took_s) or _shifted(found, policy, job, champion, places)
        if why:
            self._retreats.retreat(harm, version, why)

    def snapshot(self) -> list[CanaryCounts]:
        """Counts for metrics, one row per canary."""
        with self._lock:
            newest = {key[:2]: one for key, one in self._compared.items()}
            return [_counts(key, self._calls.get(key), newest.get(key)) for key in {**self._calls, **newest}]

    def _called(self, canary: ModelVersion, error: Exception | None) -> None:
        harm, version = key = canary.harm, canary.version
        if key in self._retreats.standing:
            return
        policy = self._policies.harms[harm].canary
        with self._lock:
            calls = _kept(self._calls, key, lambda: Evidence(policy.max_error_rate, first=1))
            too_many = calls.add(1, 0.0 if error is None else 1.0)
            share, n = calls.seen
        if too_many:
            # Only the error's type: its message may quote the text that failed.
            last = f" (last error: {type(error).__name__})" if error else ""
            why = f"{share * n:.0f} of {n:,} calls failed{last}; the limit is {policy.max_error_rate:.1%}."
            self._retreats.retreat(harm, version, why)

    def _forget(self) -> None:
        """Drop the observations of retreated canaries, so that they don't count in a later trial."""
        standing = self._retreats.standing
        with self._lock:
            self._calls = {key: one for key, one in self._calls.items() if key not in standing}
            self._compared = {key: one for key, one in self._compared.items() if key[:2] not in standing}


def _slower(slow: Evidence, policy: CanaryPolicy, canary_s: float, champion_s: float) -> str | None:
    """Why the canary must retreat because of its time; None while it may stay."""
    if not slow.add(1, float(canary_s > policy.max_slowdown * champion_s)):
        return None
    share, n = slow.seen
    times = f"{policy.max_slowdown:g} times the champion's time"
    return f"{share:.0%} of {n:,} calls took more than {times}; the limit is 50%."


def _shifted(found: _Comparison, policy: CanaryPolicy, job: CanaryJob, champion: Doubles, places: Places) -> str | None:
    """Why the canary must retreat because of its scores; None while it may stay."""
    fresh = found.new([job.subjects[n] for n in places.tolist()])
    if not fresh:
        return None
    theirs, ours = champion[fresh], job.scores[places[fresh]]
    pairs = [(job.canary.tier(a), job.champion.tier(b)) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    differ = sum(a != b for a, b in pairs)
    flagged = sum(a != "none" or b != "none" for a, b in pairs)
    # NaN counts as the largest possible difference.
    moved = float(np.clip(np.nan_to_num(np.abs(ours - theirs), nan=1.0), 0.0, 1.0).sum())
    # Every test gets the observations, even if an earlier one has already decided.
    tier, score = found.tier.add(len(fresh), differ), found.score.add(len(fresh), moved)
    if found.flagged.add(flagged, differ) and found.tier.n >= policy.at_least:
        return _tier_text(found.flagged, "flagged subjects", policy.max_flagged_shift)
    if tier:
        return _tier_text(found.tier, "subjects", policy.max_tier_shift)
    if score:
        share, n = found.score.seen
        return f"Scores of {n:,} subjects differ by {share:.2f} on average; the limit is {policy.max_score_shift:g}."
    return None


def _tier_text(evidence: Evidence, subjects: str, limit: float) -> str:
    share, n = evidence.seen
    return f"{share:.0%} of {n:,} {subjects} got another tier than the champion's; the limit is {limit:.0%}."


def _counts(key: Key, calls: Evidence | None, found: _Comparison | None) -> CanaryCounts:
    nan = float("nan")
    return CanaryCounts(
        *key,
        calls=calls.n if calls else 0,
        errors=round(calls.total) if calls else 0,
        compared=found.tier.n if found else 0,
        slow=found.slow.mean if found else nan,
        tier_shift=found.tier.mean if found else nan,
        flagged_shift=found.flagged.mean if found else nan,
        score_shift=found.score.mean if found else nan,
    )


def _kept(kept: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """The value of a key, created if it is new. Keeps only the newest few keys of each harm."""
    if key not in kept:
        for old in [one for one in kept if one[0] == key[0]][: -(_KEPT_TRIALS - 1)]:
            del kept[old]
        kept[key] = make()
    return kept[key]

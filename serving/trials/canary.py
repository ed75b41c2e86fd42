"""Judges each canary while it answers: its errors, its time, and how far its scores are from the champion's.

What is seen of it is held against the policy's limits; when a limit is surely passed, the canary retreats at once and
for every process, and the champion answers everything again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

import numpy as np

from leads.policies import CanaryPolicy, Policies
from models.version import ModelVersion
from serving.trials.evidence import Evidence
from serving.trials.retreats import Key, Retreats
from serving.trials.shadow_jobs import Doubles, PairedJob, Places

# What is kept of champions that came and went meanwhile; jobs about them may still be waiting.
_KEPT_TRIALS = 3
_REMEMBERED_SUBJECTS = 20_000
_LOOKS = 6
K = TypeVar("K", bound=tuple[Hashable, ...])
V = TypeVar("V")


class CanaryCounts(NamedTuple):
    """What was seen of a canary in this process since its trial began; NaN where nothing was compared yet.

    `slow` is the share of its calls that took longer than policy allows, the shifts are those of the policy's limits.
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
    """A canary beside one champion."""

    def __init__(self, policy: CanaryPolicy) -> None:
        self.slow = Evidence(0.5, first=policy.at_least, looks=_LOOKS)
        self.tier = Evidence(policy.max_tier_shift, first=policy.at_least, looks=_LOOKS)
        # Few subjects are flagged, and a canary that flags nothing any more shows in those only.
        self.flagged = Evidence(policy.max_flagged_shift, first=max(8, policy.at_least // 8), looks=_LOOKS)
        self.score = Evidence(policy.max_score_shift, first=policy.at_least, looks=_LOOKS)
        self._subjects: set[int] = set()

    def new(self, subjects: list[str]) -> list[int]:
        """The places of subjects that were not compared before: one that is sent often must not decide alone."""
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
    """Thread-safe; never blocks, never raises for what a canary does."""

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

    def errored(self, canary: ModelVersion, error: Exception) -> None:
        """A canary could not score its share of a call; the champion answered in its place."""
        self._called(canary, error)

    def compared(self, job: PairedJob, champion: Doubles, places: Places, *, took_s: tuple[float, float]) -> None:
        """What the champion said about subjects for which the canary answered.

        Args:
            champion: (m,) its scores of the job's subjects at `places`.
            took_s: seconds that canary and champion took for the same subjects.
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
        """For metrics; one row per canary."""
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
            # Only the kind: what an error says may hold what it failed on.
            last = f", the last with {type(error).__name__}" if error else ""
            self._retreats.retreat(
                harm, version, f"{share * n:.0f} of {n:,} calls failed{last}; {policy.max_error_rate:.1%} may fail."
            )

    def _forget(self) -> None:
        """What led to a retreat must not count in the version's next trial."""
        standing = self._retreats.standing
        with self._lock:
            self._calls = {key: one for key, one in self._calls.items() if key not in standing}
            self._compared = {key: one for key, one in self._compared.items() if key[:2] not in standing}


def _slower(slow: Evidence, policy: CanaryPolicy, canary_s: float, champion_s: float) -> str | None:
    if not slow.add(1, float(canary_s > policy.max_slowdown * champion_s)):
        return None
    share, n = slow.seen
    return f"{share:.0%} of {n:,} calls took more than {policy.max_slowdown:g} times the champion's time; half may."


def _shifted(found: _Comparison, policy: CanaryPolicy, job: PairedJob, champion: Doubles, places: Places) -> str | None:
    fresh = found.new([job.subjects[n] for n in places.tolist()])
    if not fresh:
        return None
    theirs, ours = champion[fresh], job.scores[places[fresh]]
    pairs = [(job.canary.tier(a), job.champion.tier(b)) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    differ = sum(a != b for a, b in pairs)
    flagged = sum(a != "none" or b != "none" for a, b in pairs)
    # A score that is no number is as far away as can be.
    moved = float(np.clip(np.nan_to_num(np.abs(ours - theirs), nan=1.0), 0.0, 1.0).sum())
    # Each takes what was seen, also when one before it has decided.
    tier, score = found.tier.add(len(fresh), differ), found.score.add(len(fresh), moved)
    if found.flagged.add(flagged, differ) and found.tier.n >= policy.at_least:
        return _said(found.flagged, "of {n:,} flagged subjects got another tier", policy.max_flagged_shift)
    if tier:
        return _said(found.tier, "of {n:,} subjects got another tier", policy.max_tier_shift)
    if score:
        share, n = found.score.seen
        return f"Scores of {n:,} subjects differ by {share:.2f} on average; {policy.max_score_shift:g} is allowed."
    return None


def _said(evidence: Evidence, what: str, limit: float) -> str:
    share, n = evidence.seen
    return f"{share:.0%} {what.format(n=n)} than the champion's; {limit:.0%} may."


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
    """The value of a key, made when it is new; of each harm only the newest few stay."""
    if key not in kept:
        for old in [one for one in kept if one[0] == key[0]][: -(_KEPT_TRIALS - 1)]:
            del kept[old]
        kept[key] = make()
    return kept[key]

"""Signals: user reports (honest, mistaken, brigades), trusted flaggers' notices, matches with known content."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from leads.clock import HOUR, MINUTE, SECOND, Micros
from leads.events import SignalReceived, SubjectRef
from leads_client.fields import SignalKind
from simulation.config import HARMS_BY_TYPE
from simulation.randomness import poisson
from simulation.texts import Truth
from simulation.timeline import Draft, server_event

_HONEST_REPORTS = 1.0  # mean number per violating comment
_CORRECT_HARM_SHARE = 0.85
_MISTAKEN_SHARE = 0.04
_NOTICE_SHARE, _FALSE_NOTICE_SHARE = 0.05, 0.001
_MATCH_SHARE, _FALSE_MATCH_SHARE = 0.3, 0.0005
# The shared hash list contains a campaign's messages only after this many posts.
_POSTS_UNTIL_KNOWN = 10
_FLAGGERS = ("flagger:hotline", "flagger:ngo")
_MIN_BRIGADE, _MAX_BRIGADE = 8, 25


class Signals(NamedTuple):
    """Signals about one subject, and when the first becomes visible; None if there are none."""

    drafts: list[Draft]
    first_at: Micros | None


def comment_signals(
    rng: Random, ref: SubjectRef, at: Micros, truth: Truth, reporter: Callable[[], str], *, earlier_posts: int = 0
) -> Signals:
    """Signals about a comment posted at `at`.

    Args:
        reporter: draws the id of the reporting account.
        earlier_posts: number of earlier posts by the same campaign; 0 without one.
    """
    violated = [harm for harm, violating in truth.items() if violating]
    signals: list[Draft] = []
    reports = poisson(rng, _HONEST_REPORTS) if violated else int(rng.random() < _MISTAKEN_SHARE)
    for _ in range(reports):
        correct = violated and rng.random() < _CORRECT_HARM_SHARE
        harm = rng.choice(violated if correct else HARMS_BY_TYPE["comment"])
        signals.append(_signal(rng, ref, at + _delay(rng, 2 * HOUR), "user_report", "app", harm, reporter()))
    if rng.random() < (_NOTICE_SHARE if violated else _FALSE_NOTICE_SHARE):
        harm = violated[0] if violated else "harassment"
        signals.append(_signal(rng, ref, at + _delay(rng, 8 * HOUR), "trusted_flagger", rng.choice(_FLAGGERS), harm))
    if rng.random() < (_MATCH_SHARE if earlier_posts >= _POSTS_UNTIL_KNOWN else _FALSE_MATCH_SHARE):
        signals.append(_signal(rng, ref, at + _delay(rng, MINUTE), "hash_match", "hashes:shared-list", "spam"))
    return Signals(signals, min((draft.visible_at for draft in signals), default=None))


def brigade_reports(rng: Random, ref: SubjectRef, at: Micros, reporter: Callable[[], str]) -> list[Draft]:
    """A group reports one harmless comment within a short time."""
    harm = rng.choice(("harassment", "identity_hate"))
    begins = at + _delay(rng, 3 * HOUR)
    return [
        _signal(rng, ref, begins + int(rng.uniform(0, 90) * MINUTE), "user_report", "app", harm, reporter())
        for _ in range(rng.randint(_MIN_BRIGADE, _MAX_BRIGADE))
    ]


def account_signals(rng: Random, ref: SubjectRef, at: Micros, reporter: Callable[[], str]) -> Signals:
    """One report of artificial streaming, mostly by the distributor that pays for the streams, sometimes by a user."""
    from_distributor = rng.random() < 0.7
    kind: SignalKind = "trusted_flagger" if from_distributor else "user_report"
    draft = _signal(
        rng,
        ref,
        at,
        kind,
        "flagger:distributor" if from_distributor else "app",
        "stream_manipulation",
        None if from_distributor else reporter(),
    )
    return Signals([draft], draft.visible_at)


def _delay(rng: Random, median: Micros) -> Micros:
    return 20 * SECOND + int(median * rng.lognormvariate(0, 1.0))


def _signal(
    rng: Random, ref: SubjectRef, at: Micros, kind: SignalKind, source: str, harm: str, reporter_id: str | None = None
) -> Draft:
    return server_event(rng, at, SignalReceived(ref, kind, source, harm=harm, reporter_id=reporter_id))

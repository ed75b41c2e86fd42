"""Reports by users (honest, mistaken, in brigades), notices by trusted flaggers, matches with known content."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from leads.clock import HOUR, MINUTE, Micros
from leads.events import SignalReceived, SubjectRef
from leads_client.fields import SignalKind
from simulation.config import HARMS_OF
from simulation.randomness import Single, poisson
from simulation.texts import Truth
from simulation.timeline import Draft, prompt

_HONEST_REPORTS = 1.0  # mean for a violating comment
_RIGHT_HARM_SHARE = 0.85
_MISTAKEN_SHARE = 0.04
_NOTICE_SHARE, _FALSE_NOTICE_SHARE = 0.05, 0.001
_MATCH_SHARE, _FALSE_MATCH_SHARE = 0.3, 0.0005
# A campaign's message is known to the shared hash list only after it was posted a number of times.
_POSTS_UNTIL_KNOWN = 10
_FLAGGERS = ("flagger:hotline", "flagger:ngo")
_BRIGADE_FROM, _BRIGADE_TO = 8, 25


class Signals(NamedTuple):
    """Signals about one subject, and when the first one that makes a reviewer look came in; None without one."""

    drafts: list[Draft]
    first_at: Micros | None


def about_comment(
    rng: Single, ref: SubjectRef, at: Micros, truth: Truth, reporter: Callable[[], str], *, posted_before: int = 0
) -> Signals:
    """What comes in about a comment that was posted at `at`.

    Args:
        posted_before: how often the campaign it belongs to posted before; 0 when it belongs to none.
        reporter: draws the account that reports.
    """
    violated = [harm for harm, violating in truth.items() if violating]
    came: list[Draft] = []
    reports = poisson(rng, _HONEST_REPORTS) if violated else int(rng.random() < _MISTAKEN_SHARE)
    for _ in range(reports):
        right = violated and rng.random() < _RIGHT_HARM_SHARE
        harm = rng.choice(violated if right else HARMS_OF["comment"])
        came.append(_signal(rng, ref, at + _delay(rng, 2 * HOUR), "user_report", "app", harm, reporter()))
    if rng.random() < (_NOTICE_SHARE if violated else _FALSE_NOTICE_SHARE):
        harm = violated[0] if violated else "harassment"
        came.append(_signal(rng, ref, at + _delay(rng, 8 * HOUR), "trusted_flagger", rng.choice(_FLAGGERS), harm))
    if rng.random() < (_MATCH_SHARE if posted_before >= _POSTS_UNTIL_KNOWN else _FALSE_MATCH_SHARE):
        came.append(_signal(rng, ref, at + _delay(rng, MINUTE), "hash_match", "hashes:shared-list", "spam"))
    return Signals(came, min((draft.visible_at for draft in came), default=None))


def brigade(rng: Single, ref: SubjectRef, at: Micros, reporter: Callable[[], str]) -> list[Draft]:
    """A group that reports one harmless comment all at once."""
    harm = rng.choice(("harassment", "identity_hate"))
    begins = at + _delay(rng, 3 * HOUR)
    return [
        _signal(rng, ref, begins + int(rng.uniform(0, 90) * MINUTE), "user_report", "app", harm, reporter())
        for _ in range(rng.randint(_BRIGADE_FROM, _BRIGADE_TO))
    ]


def about_account(rng: Single, ref: SubjectRef, at: Micros, reporter: Callable[[], str]) -> Signals:
    """Somebody noticed how an account streams: mostly the distributor who pays for it, at times another user."""
    partner = rng.random() < 0.7
    kind: SignalKind = "trusted_flagger" if partner else "user_report"
    draft = _signal(
        rng,
        ref,
        at,
        kind,
        "flagger:distributor" if partner else "app",
        "stream_manipulation",
        None if partner else reporter(),
    )
    return Signals([draft], draft.visible_at)


def _delay(rng: Single, median: Micros) -> Micros:
    return 20_000_000 + int(median * rng.lognormvariate(0, 1.0))


def _signal(
    rng: Single, ref: SubjectRef, at: Micros, kind: SignalKind, source: str, harm: str, reporter_id: str | None = None
) -> Draft:
    return prompt(rng, at, SignalReceived(ref, kind, source, harm=harm, reporter_id=reporter_id))

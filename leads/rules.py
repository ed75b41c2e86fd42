"""Rules that several packages follow. Each is written here once, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from leads.clock import Micros
from leads.events import ACCOUNT, Event, Happened, LoggedEvent, Played, Subject, decision_of
from leads_client.fields import DecidedBy


def touched_by(event: Event) -> tuple[Subject, ...]:
    """The subjects whose score an event may change, so that the worker scores them when it arrives.

    The worker scores these subjects, training takes the instant of a label's last touch, and the reference sample that
    drift is measured from is drawn from them. All three must agree, or a model is trained on rows that serving never
    sees.
    """
    body = event.body
    who = body.account_id if isinstance(body, Played | Happened) else None
    return touched(str(type(body).__struct_config__.tag), body.subject.subject, who)


def touched(kind: str, subject: Subject, who: str | None) -> tuple[Subject, ...]:
    """`touched_by` for who knows an event's kind, its subject and, of a play or a declared event, who did it.

    These touch the account that did them and what they are about. A decision touches nothing: it settles a lead and is
    no reason to score its subject again.
    """
    if kind == "decision_made":
        return ()
    did = () if who is None else (Subject(ACCOUNT, who),)
    return (*did, subject) if subject not in did else did


def happened_at(occurred_at: Micros, visible_at: Micros) -> Micros:
    """When an event counts as having happened: when its sender says, but not after it arrived.

    Windows and the order of an item's versions go by this time.
    """
    return min(occurred_at, visible_at)


def needs_item(subject: Subject) -> bool:
    """Whether a subject can only be scored once its `item_created` event has arrived.

    An item's text comes with that event. An account may be known by what it does alone.
    """
    return subject.type_id != ACCOUNT


class Made(NamedTuple):
    """Who made a decision, and when it happened."""

    by: DecidedBy
    at: Micros


def made(logged: LoggedEvent) -> Made:
    """Who made a logged decision, and when."""
    return Made(decision_of(logged).by, happened_at(logged.event.occurred_at, logged.visible_at))


def replaces_standing(decision: LoggedEvent, standing: Made | None) -> bool:
    """Whether a decision becomes the one that stands on its subject, harm and content.

    `escalate` is not a verdict, so what stood before still stands. A human's verdict replaces automation's, and
    automation's never a human's. Otherwise the verdict that was passed later wins, not the one that arrived later: an
    import of old decisions changes nothing that was decided since.

    Args:
        standing: the decision that stands so far; None when there is none.
    """
    if decision_of(decision).verdict == "escalate":
        return False
    if standing is None:
        return True
    new = made(decision)
    return new.at >= standing.at if new.by == standing.by else new.by == "human"


def standing_decision(decisions: Iterable[LoggedEvent]) -> LoggedEvent | None:
    """The decision that stands among decisions on one subject, harm and content; None when there is no verdict yet.

    Args:
        decisions: in the order of the event log.
    """
    standing: LoggedEvent | None = None
    for decision in decisions:
        if replaces_standing(decision, made(standing) if standing else None):
            standing = decision
    return standing

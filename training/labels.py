"""Labels out of decisions: what the platform itself has learned about its subjects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.event_log import read_kind
from leads.records import DecidedBy, DecisionMade, LoggedEvent, Subject


class Label(NamedTuple):
    """Whether a subject violates a harm's policy, by the decision that became visible at `at`."""

    subject: Subject
    violating: bool
    at: Micros
    by: DecidedBy


def decided(engine: Engine, harm: str, subject_types: Iterable[str]) -> list[Label]:
    """One label for each decided subject of these types, in the order in which they became visible."""
    return labels_from(read_kind(engine, "decision_made"), harm, subject_types)


def labels_from(decisions: Iterable[LoggedEvent], harm: str, subject_types: Iterable[str]) -> list[Label]:
    """The labels that decisions, in the order of the log, add up to.

    A human's verdict outranks automation's, whichever came first; within one kind the latest counts. `escalate` passes
    no verdict, so what was decided before stays.
    """
    types = frozenset(subject_types)
    labels: dict[Subject, Label] = {}
    for logged in decisions:
        body = logged.event.body
        if not isinstance(body, DecisionMade) or body.harm != harm or body.verdict == "escalate":
            continue
        subject = body.subject.subject
        if subject.type_id not in types:
            continue
        before = labels.get(subject)
        if before is not None and before.by == "human" and body.by == "automation":
            continue
        labels[subject] = Label(subject, body.verdict == "violating", logged.visible_at, body.by)
    return sorted(labels.values(), key=lambda label: label.at)

"""Labels out of decisions: what the platform itself has learned about its subjects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.db.event_log import read_kind
from leads.events import DecisionMade, LoggedEvent, Subject
from leads.rules import replaces_standing
from leads_client.fields import DecidedBy, Verdict
from training.config import LabelsConfig


class Label(NamedTuple):
    """Whether a subject violates a harm's policy, by the decision that became visible at `at`.

    `lead_id` names the lead that was decided, where there was one; `disputed`: humans passed both verdicts.
    """

    subject: Subject
    violating: bool
    at: Micros
    by: DecidedBy
    lead_id: str | None = None
    disputed: bool = False

    def weight(self, config: LabelsConfig) -> float:
        """How much it counts in fitting."""
        trust = config.human if self.by == "human" else config.automation
        return trust * (config.disputed if self.disputed else 1.0)


def decided(engine: Engine, harm: str, subject_types: Iterable[str]) -> list[Label]:
    """One label for each decided subject of these types, in the order in which they became visible."""
    return labels_from(read_kind(engine, "decision_made"), harm, subject_types)


def labels_from(decisions: Iterable[LoggedEvent], harm: str, subject_types: Iterable[str]) -> list[Label]:
    """The labels that decisions, in the order of the log, add up to.

    Each label is the decision that stands (`leads.rules.replaces_standing`).
    """
    types = frozenset(subject_types)
    labels: dict[Subject, Label] = {}
    by_humans: dict[Subject, set[Verdict]] = {}
    for logged in decisions:
        body = logged.event.body
        if not isinstance(body, DecisionMade) or body.harm != harm:
            continue
        subject = body.subject.subject
        if subject.type_id not in types:
            continue
        before = labels.get(subject)
        if not replaces_standing(body, before.by if before else None):
            continue
        human = by_humans.setdefault(subject, set())
        if body.by == "human":
            human.add(body.verdict)
        violating, disputed = body.verdict == "violating", len(human) > 1
        labels[subject] = Label(subject, violating, logged.visible_at, body.by, body.lead_id, disputed)
    return sorted(labels.values(), key=lambda label: label.at)

"""Labels out of decisions: what the platform itself has learned about its subjects.

A verdict is about the content that was judged. After an edit, the old verdict stays the label of the old content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.db.engine import reading
from leads.db.event_log import read_kind
from leads.db.items import judged_contents
from leads.events import ContentRef, LoggedEvent, Subject, decision_of
from leads.rules import Made, made, replaces_standing
from leads_client.fields import DecidedBy, Verdict
from training.config import LabelsConfig


class Label(NamedTuple):
    """Whether a subject violates a harm's policy, by the decision that became visible at `at`.

    `content` is the version that was judged. `review_id` and `lead_id` name the review and the lead that were decided,
    where there were any; `disputed`: humans passed both verdicts.
    """

    subject: Subject
    violating: bool
    at: Micros
    by: DecidedBy
    content: ContentRef
    lead_id: str | None = None
    review_id: str | None = None
    disputed: bool = False

    def weight(self, config: LabelsConfig) -> float:
        """How much it counts in fitting."""
        trust = config.human if self.by == "human" else config.automation
        return trust * (config.disputed if self.disputed else 1.0)


def decided(engine: Engine, harm: str, subject_types: Iterable[str]) -> list[Label]:
    """One label for each decided content of subjects of these types, in the order in which they became visible."""
    types = frozenset(subject_types)
    decisions = [x for x in read_kind(engine, "decision_made") if _is_about(x, harm, types)]
    with reading(engine) as connection:
        judged = judged_contents(connection, decisions)
    return labels_from(decisions, judged)


def labels_from(decisions: Iterable[LoggedEvent], judged: Mapping[int, ContentRef]) -> list[Label]:
    """The labels that the decisions about one harm, in the order of the log, add up to.

    Each label is the decision that stands (`leads.rules.replaces_standing`).

    Args:
        judged: the content version that each decision is about, by the decision's offset.
    """
    labels: dict[tuple[Subject, str], Label] = {}
    standing: dict[tuple[Subject, str], Made] = {}
    by_humans: dict[tuple[Subject, str], set[Verdict]] = {}
    for logged in decisions:
        body = decision_of(logged)
        content = judged[logged.offset]
        about = body.subject.subject, content.hash
        human = by_humans.setdefault(about, set())
        if body.by == "human" and body.verdict != "escalate":
            human.add(body.verdict)
        if not replaces_standing(logged, standing.get(about)):
            if about in labels:
                labels[about] = labels[about]._replace(disputed=len(human) > 1)
            continue
        standing[about] = made(logged)
        violating, disputed = body.verdict == "violating", len(human) > 1
        labels[about] = Label(
            about[0], violating, logged.visible_at, body.by, content, body.lead_id, body.review_id, disputed
        )
    return sorted(labels.values(), key=lambda label: label.at)


def _is_about(logged: LoggedEvent, harm: str, types: frozenset[str]) -> bool:
    return decision_of(logged).harm == harm and decision_of(logged).subject.type_id in types

"""Labels out of decisions: what the platform itself has learned about its subjects.

A verdict is about the content that was judged. After an edit, the old verdict stays the label of the old content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.db.items import judged_contents
from leads.db.scans.rows import scan
from leads.events import ContentRef, LoggedEvent, Subject, decision_of, decode_event
from leads.rules import Made, made, replaces_standing
from leads_client.fields import DecidedBy, Verdict
from training.config import LabelsConfig

# Decisions whose content is looked up at once.
_BATCH = 5_000


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
    with reading(engine) as connection:
        head = event_log.head(connection)
    return decided_by_harm(engine, {harm: subject_types}, up_to=head.offset)[harm]


def decided_by_harm(
    engine: Engine, subject_types: Mapping[str, Iterable[str]], *, up_to: int
) -> dict[str, list[Label]]:
    """The labels of several harms, as `decided`, from one pass over the decisions in the log.

    Args:
        subject_types: by harm.
        up_to: leave out decisions after this offset.
    """
    types = {harm: frozenset(names) for harm, names in subject_types.items()}
    found = {harm: _Labelling() for harm in types}
    rows = scan(engine, ["decision_made"], up_to=up_to)
    logged = (LoggedEvent(row.offset, row.visible_at, decode_event(row.raw)) for row in rows)
    wanted = (x for x in logged if decision_of(x).subject.type_id in types.get(decision_of(x).harm, ()))
    while batch := list(islice(wanted, _BATCH)):
        with reading(engine) as connection:
            judged = judged_contents(connection, batch)
        for decision in batch:
            found[decision_of(decision).harm].add(decision, judged[decision.offset])
    return {harm: labelling.labels() for harm, labelling in found.items()}


def labels_from(decisions: Iterable[LoggedEvent], judged: Mapping[int, ContentRef]) -> list[Label]:
    """The labels that the decisions about one harm, in the order of the log, add up to.

    Each label is the decision that stands (`leads.rules.replaces_standing`).

    Args:
        judged: the content version that each decision is about, by the decision's offset.
    """
    labelling = _Labelling()
    for logged in decisions:
        labelling.add(logged, judged[logged.offset])
    return labelling.labels()


class _Labelling:
    """The labels so far. Keeps what stands on each content, and not the decisions."""

    def __init__(self) -> None:
        self._labels: dict[tuple[Subject, str], Label] = {}
        self._standing: dict[tuple[Subject, str], Made] = {}
        # What humans passed each verdict on.
        self._passed: dict[Verdict, set[tuple[Subject, str]]] = {"violating": set(), "not_violating": set()}

    def add(self, logged: LoggedEvent, content: ContentRef) -> None:
        """Take the next decision of the log, which is about this content."""
        body = decision_of(logged)
        about = body.subject.subject, content.hash
        if body.by == "human" and body.verdict != "escalate":
            self._passed[body.verdict].add(about)
        disputed = all(about in passed for passed in self._passed.values())
        if not replaces_standing(logged, self._standing.get(about)):
            if about in self._labels:
                self._labels[about] = self._labels[about]._replace(disputed=disputed)
            return
        self._standing[about] = made(logged)
        self._labels[about] = Label(
            about[0],
            body.verdict == "violating",
            logged.visible_at,
            body.by,
            content,
            body.lead_id,
            body.review_id,
            disputed,
        )

    def labels(self) -> list[Label]:
        """In the order in which they became visible."""
        return sorted(self._labels.values(), key=lambda label: label.at)

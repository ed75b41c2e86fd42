"""What makes a decided (subject, harm) reviewable again: new content, or reports that the verdict did not know."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from sqlalchemy.engine import Connection

from leads.content import Content, ref_of, same_to_a_reader
from leads.db import subject_events
from leads.db.items import current_contents, judged_contents, named_contents
from leads.events import ContentRef, ItemCreated, LoggedEvent, SignalReceived, Subject, decision_of
from leads.policies import QueuePolicy
from leads.rules import standing_decision

Pair = tuple[Subject, str]


class Reopening(NamedTuple):
    """Why a pair can be judged again, and the newest decision so far.

    After new reports, that decision and older ones don't settle the pair any longer. After new content, decisions about
    older content never did.
    """

    why: Literal["new_content", "new_reports"]
    after: int

    @property
    def superseded(self) -> int | None:
        """The offset up to which decisions on the same content no longer settle the pair."""
        return self.after if self.why == "new_reports" else None


class Past(NamedTuple):
    """What was decided about the content that a subject holds now.

    Args:
        reopening: what makes the pair reviewable again; None if nothing does.
        standing: the decision that stands on this content; None when there is no verdict on it.
    """

    reopening: Reopening | None
    standing: LoggedEvent | None

    @property
    def settles(self) -> LoggedEvent | None:
        """The decision that leaves nothing to judge; None if there is something."""
        return self.standing if self.reopening is None else None


def decided_pairs(connection: Connection, pairs: Collection[Pair], queue: QueuePolicy) -> dict[Pair, Past]:
    """The pairs among these that were decided, about this content or an earlier one."""
    past = subject_events.decisions(connection, {subject for subject, _ in pairs})
    decided = {
        (subject, harm): about
        for subject, harm in pairs
        if (about := [logged for logged in past.get(subject, []) if decision_of(logged).harm == harm])
    }
    about_held = _about_held(connection, decided)
    return {
        (subject, harm): _past(connection, subject, decisions, about_held[subject, harm], queue)
        for (subject, harm), decisions in decided.items()
    }


def _about_held(connection: Connection, decided: Mapping[Pair, Sequence[LoggedEvent]]) -> dict[Pair, list[LoggedEvent]]:
    """The decisions on each pair about what its subject holds now, or what looks the same to a reader."""
    held = current_contents(connection, {subject for subject, _ in decided})
    judged = judged_contents(connection, [logged for decisions in decided.values() for logged in decisions])
    # Where the hash is that of the content held now, the texts are equal and needn't be read.
    other = {
        (subject, ref)
        for (subject, _), decisions in decided.items()
        for logged in decisions
        if (ref := judged[logged.offset]).hash != ref_of(held.get(subject)).hash
    }
    texts = named_contents(connection, other)

    def is_about(ref: ContentRef, subject: Subject) -> bool:
        if (subject, ref) not in other:
            return True
        before, now = texts.get((subject, ref)), held.get(subject)
        # A name that no version of the subject has is about something else, unless it stands for no content.
        known = before is not None or ref == ref_of(None)
        return known and same_to_a_reader(_item(before), _item(now))

    return {
        (subject, harm): [logged for logged in decisions if is_about(judged[logged.offset], subject)]
        for (subject, harm), decisions in decided.items()
    }


def _item(content: Content | None) -> ItemCreated | None:
    return content.item if content else None


def _past(
    connection: Connection,
    subject: Subject,
    decisions: Sequence[LoggedEvent],
    about_held: Sequence[LoggedEvent],
    queue: QueuePolicy,
) -> Past:
    after = decisions[-1].offset
    if not about_held:
        # An escalated subject waits for a specialist, who gets to see that it has changed.
        escalated = decision_of(decisions[-1]).verdict == "escalate"
        return Past(None if escalated else Reopening("new_content", after), None)
    standing = standing_decision(about_held)
    if standing is None or decision_of(about_held[-1]).verdict == "escalate":
        return Past(None, standing)
    decision = decision_of(standing)
    if decision.verdict != "not_violating":
        return Past(None, standing)
    reports = _new_reporters(connection, subject, decision.harm, after=about_held[-1].offset)
    return Past(Reopening("new_reports", after) if reports >= queue.reopen_after_reports else None, standing)


def _new_reporters(connection: Connection, subject: Subject, harm: str, after: int) -> int:
    """How many people have reported the subject for this harm, or for none in particular, only after an offset.

    A report that names nobody counts as one person.
    """
    before: set[str | int] = set()
    since: set[str | int] = set()
    for logged in subject_events.signals(connection, subject):
        body = logged.event.body
        assert isinstance(body, SignalReceived)
        if body.kind == "user_report" and body.harm in (None, harm):
            (since if logged.offset > after else before).add(body.reporter_id or logged.offset)
    return len(since - before)

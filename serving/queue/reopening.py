"""What makes a decided (subject, harm) reviewable again: new content, or reports that the verdict did not know."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

from sqlalchemy.engine import Connection

from leads.content import Content, judged, newest, same_to_a_reader
from leads.db import subject_events
from leads.db.items import contents
from leads.events import LoggedEvent, SignalReceived, Subject, decision_of
from leads.policies import QueuePolicy
from leads.rules import standing_decision

Pair = tuple[Subject, str]


class Reopening(NamedTuple):
    """Why a pair can be judged again, and the newest decision so far: it and older ones do not settle it."""

    why: Literal["new_content", "new_reports"]
    after: int


def decided_pairs(connection: Connection, pairs: Collection[Pair], queue: QueuePolicy) -> dict[Pair, Reopening | None]:
    """The pairs among these that were decided: with what makes them reviewable again, or None if nothing does."""
    past = subject_events.decisions(connection, {subject for subject, _ in pairs})
    decided = {
        (subject, harm): about
        for subject, harm in pairs
        if (about := [logged for logged in past.get(subject, []) if decision_of(logged).harm == harm])
    }
    versions = contents(connection, {subject for subject, _ in decided})
    found: dict[Pair, Reopening | None] = {}
    for (subject, harm), decisions in decided.items():
        found[subject, harm] = _reopening(connection, subject, decisions, versions.get(subject, []), queue)
    return found


def _reopening(
    connection: Connection,
    subject: Subject,
    decisions: Sequence[LoggedEvent],
    versions: Sequence[Content],
    queue: QueuePolicy,
) -> Reopening | None:
    after, held = decisions[-1].offset, newest(versions)
    by_offset = {version.offset: version.item for version in versions}
    about_held = [
        logged
        for logged in decisions
        if same_to_a_reader(by_offset.get(judged(logged, versions).offset), held.item if held else None)
    ]
    if not about_held:
        # An escalated subject waits for a specialist, who gets to see that it has changed.
        return None if decision_of(decisions[-1]).verdict == "escalate" else Reopening("new_content", after)
    standing = standing_decision(map(decision_of, about_held))
    if standing is None or standing.verdict != "not_violating" or decision_of(about_held[-1]).verdict == "escalate":
        return None
    reports = _reporters(connection, subject, standing.harm, since=about_held[-1].offset)
    return Reopening("new_reports", after) if reports >= queue.reopen_after_reports else None


def _reporters(connection: Connection, subject: Subject, harm: str, since: int) -> int:
    """How many people have reported the subject for this harm, or for none in particular, after an offset."""
    reporters = set()
    for logged in subject_events.signals(connection, subject, since=since):
        body = logged.event.body
        assert isinstance(body, SignalReceived)
        if body.kind == "user_report" and body.harm in (None, harm):
            # Reports by nobody in particular count one each.
            reporters.add(body.reporter_id or logged.offset)
    return len(reporters)

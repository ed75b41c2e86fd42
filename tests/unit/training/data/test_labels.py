from __future__ import annotations

import msgspec
from sqlalchemy.engine import Engine

from leads.content import ref_of
from leads.db import event_log
from leads.events import ContentRef, DecisionMade, Event, ItemCreated, LoggedEvent, Subject, SubjectRef, decision_of
from leads_client.fields import DecidedBy, Verdict
from training.data.labels import Label, decided, labels_from

START = 1_750_000_000_000_000


def decision(
    at: int,
    verdict: Verdict,
    *,
    by: DecidedBy = "human",
    subject: str = "c1",
    harm: str = "spam",
    kind: str = "comment",
    content: ContentRef | None = None,
) -> LoggedEvent:
    body = DecisionMade(SubjectRef(kind, subject), harm, verdict, by, reviewer="r1", content=content)
    return LoggedEvent(at, START + at, Event(f"e{at}", START + at, body))


def labels(*decisions: LoggedEvent) -> list[Label]:
    """Of subjects without content, unless the decisions name one."""
    return labels_from(decisions, {x.offset: decision_of(x).content or ref_of(None) for x in decisions})


def only(*decisions: LoggedEvent) -> list[tuple[str, bool, int]]:
    return [(label.subject.id, label.violating, label.at - START) for label in labels(*decisions)]


def test_the_latest_human_verdict_counts() -> None:
    assert only(decision(1, "violating"), decision(2, "not_violating")) == [("c1", False, 2)]


def test_a_human_outranks_automation_whichever_came_first() -> None:
    assert only(decision(1, "violating"), decision(2, "not_violating", by="automation")) == [("c1", True, 1)]
    assert only(decision(1, "not_violating", by="automation"), decision(2, "violating")) == [("c1", True, 2)]


def test_an_old_decision_that_is_imported_later_changes_nothing() -> None:
    late = decision(3, "not_violating")
    old = late._replace(event=msgspec.structs.replace(late.event, occurred_at=START + 1))
    assert only(decision(2, "violating"), old) == [("c1", True, 2)]
    assert labels(decision(2, "violating"), old)[0].disputed


def test_automation_labels_where_no_human_did() -> None:
    decisions = decision(1, "violating", by="automation"), decision(2, "not_violating", by="automation")
    assert only(*decisions) == [("c1", False, 2)]


def test_an_escalation_is_no_verdict() -> None:
    assert only(decision(1, "escalate")) == []
    assert only(decision(1, "violating"), decision(2, "escalate")) == [("c1", True, 1)]


def test_other_harms_and_types_are_left_out(engine: Engine) -> None:
    with engine.begin() as connection:
        new = [decision(1, "violating", harm="sexism").event, decision(2, "violating", kind="track").event]
        event_log.append(connection, "test", new)
    assert decided(engine, "spam", ["comment"]) == []


def test_each_content_that_was_judged_has_its_label() -> None:
    old, new = ContentRef(1, "0" * 32), ContentRef(5, "1" * 32)
    decisions = decision(2, "violating", content=old), decision(6, "not_violating", content=new)
    assert only(*decisions) == [("c1", True, 2), ("c1", False, 6)]
    assert only(*decisions, decision(7, "not_violating", content=old)) == [("c1", False, 6), ("c1", False, 7)]


def test_a_decision_that_names_no_content_is_about_what_held_then(engine: Engine) -> None:
    texts = {1: "free coins", 3: "what a lovely bass line"}
    written = {n: Event(f"i{n}", START + n, ItemCreated(SubjectRef("comment", "c1"), text=x)) for n, x in texts.items()}
    with engine.begin() as connection:
        new = [written[1], decision(2, "violating").event, written[3], decision(4, "not_violating").event]
        event_log.append(connection, "test", new)
    found = decided(engine, "spam", ["comment"])
    assert [(label.violating, label.content.offset) for label in found] == [(True, 1), (False, 3)]


def test_labels_come_in_the_order_in_which_they_became_visible() -> None:
    first = decision(1, "violating", subject="a"), decision(2, "violating", subject="b")
    assert only(*first, decision(3, "not_violating", subject="a")) == [("b", True, 2), ("a", False, 3)]


def test_labels_are_read_from_the_log(engine: Engine) -> None:
    with engine.begin() as connection:
        event_log.append(
            connection, "test", [decision(1, "violating").event, decision(2, "violating", subject="b").event]
        )
    found = decided(engine, "spam", ["comment"])
    assert [label.subject for label in found] == [Subject("comment", "c1"), Subject("comment", "b")]
    assert found[0].at < found[1].at

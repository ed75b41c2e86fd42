"""What the queue and scoring read of an item doesn't grow with its edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log, items, subject_events
from leads.db.content import versions
from leads.db.content.stored_items import StoredItems
from leads.db.engine import reading
from leads.events import ContentRef, DecisionMade, Event, ItemCreated, Subject, SubjectRef
from leads.policies import QueuePolicy, load_policies
from leads.settings import POLICIES_FILE
from leads_client.fields import Verdict
from serving.queue.cases import Ruling
from serving.queue.decisions import decide_lead
from serving.queue.leads_table import Actor, lead_id
from serving.queue.leases import Claimed
from serving.queue.offers import Offer, Offered, offer
from serving.queue.queue import claim
from serving.queue.reopening import decided_pairs
from serving.queue.settling import settle
from training.data.labels import decided

pytestmark = pytest.mark.slow

NOW = clock.from_text("2026-03-01T12:00:00Z")
QUEUE = QueuePolicy()
SUBJECT = Subject("comment", "c1")
REF = SubjectRef("comment", "c1")
LEAD = lead_id(SUBJECT, "spam")
EDITS = 2_000


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many events were decoded since it was last cleared."""
    counted: Counter[str] = Counter()

    def counting(decode: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
        def count(raw: bytes) -> Any:
            counted["events"] += 1
            return decode(raw)

        return count

    for module in (items, versions):
        monkeypatch.setattr(module, "decode", counting(module.decode))
    monkeypatch.setattr(event_log, "decode_event", counting(event_log.decode_event))
    monkeypatch.setattr(subject_events, "decode_event", counting(subject_events.decode_event))
    return counted


def edit(engine: Engine, n: int, *, first: int = 0) -> None:
    new = [Event(f"e{i}", NOW + i, ItemCreated(REF, "a1", text=f"free coins {i}")) for i in range(first, first + n)]
    with engine.begin() as connection:
        event_log.append(connection, "test", new, clock_=lambda: NOW + first + n)


def imported(engine: Engine, verdict: Verdict, at: int, content: ContentRef | None = None) -> int:
    body = DecisionMade(REF, "spam", verdict, "human", "eve", content=content)
    with engine.begin() as connection:
        return event_log.append(connection, "file", [Event(f"d{at}", at, body)], clock_=lambda: at).head.offset


def offered(engine: Engine, now: int) -> Offered:
    with engine.begin() as connection:
        return offer(connection, [Offer(SUBJECT, "spam", 0.9, "review", "3", "p1", (), 3.0, 1.0, now)], now, QUEUE)


def claimed(engine: Engine, now: int) -> Claimed:
    with engine.begin() as connection:
        (found,) = claim(connection, n=1, actor=Actor("ann"), queue=QUEUE, now=now)
        return found


def decide(engine: Engine, ruling: Ruling, now: int) -> None:
    with engine.begin() as connection:
        decide_lead(connection, LEAD, ruling, policies=load_policies(POLICIES_FILE), clock_=lambda: now)


def settled(engine: Engine) -> None:
    with engine.begin() as connection:
        settle(connection, subject_events.decisions(connection, [SUBJECT])[SUBJECT][-1:])


def test_reading_an_item_decodes_a_few_events_whatever_its_edits(any_engine: Engine, read: Counter[str]) -> None:
    now = NOW + clock.HOUR
    edit(any_engine, EDITS)
    text = StoredItems(any_engine, lambda item: item).of([SUBJECT])[SUBJECT].text
    assert (text, read["events"]) == (f"free coins {EDITS - 1}", 1)
    offered(any_engine, now)
    shown = claimed(any_engine, now + 1).review.content
    edit(any_engine, EDITS, first=EDITS)
    read.clear()
    decide(any_engine, Ruling("not_violating", Actor("ann"), content=shown, on_old_content=True), now + 2)
    # The content shown, and the one held now.
    assert read["events"] <= 2
    edit(any_engine, EDITS, first=2 * EDITS)
    for at in range(3):
        imported(any_engine, "violating", now + 10 + at)
    edit(any_engine, EDITS, first=3 * EDITS)
    for step in (lambda: offered(any_engine, now + 20), lambda: settled(any_engine), lambda: labels(any_engine)):
        read.clear()
        step()
        # Of each of the four decisions: the decision, the content that held then, and its text.
        assert 0 < read["events"] <= 14


def labels(engine: Engine) -> None:
    assert len(decided(engine, "spam", ["comment"])) == 2


def test_a_decision_on_a_version_that_never_was_is_not_about_what_is_held(any_engine: Engine) -> None:
    now = NOW + clock.HOUR
    edit(any_engine, 2)
    with reading(any_engine) as connection:
        held = items.current_contents(connection, [SUBJECT])[SUBJECT].ref
    imported(any_engine, "violating", now, ContentRef(held.offset, "0" * 32))
    assert offered(any_engine, now + 1).opened == 1
    imported(any_engine, "violating", now + 2, held)
    with any_engine.begin() as connection:
        past = decided_pairs(connection, [(SUBJECT, "spam")], QUEUE)[SUBJECT, "spam"]
    assert past.reopening is None
    assert past.standing is not None
    assert past.standing.visible_at == now + 2

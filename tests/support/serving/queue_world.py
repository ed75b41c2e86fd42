"""A queue whose steps a test chooses: offers, claims, verdicts, and time that passes."""

from __future__ import annotations

import random
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads import clock
from leads.content import ref_of
from leads.db import event_log, subject_events
from leads.db.items import current_contents
from leads.db.tables import leads
from leads.events import Event, ItemCreated, Subject, SubjectRef
from leads.policies import QueuePolicy, load_policies
from leads.settings import POLICIES_FILE
from leads_client.fields import Tier, Verdict
from serving.queue import leases, reviews
from serving.queue.cases import Ruling
from serving.queue.decisions import decide_lead
from serving.queue.leads_table import Actor, Lead, lead_id
from serving.queue.offers import Offer, Offered, offer
from serving.queue.queue import Page, claim, list_leads
from serving.queue.settling import settle
from serving.scoring.reasons.explanation import Reason

START = clock.from_text("2026-03-01T12:00:00Z")
POLICIES = load_policies(POLICIES_FILE)


def informed(connection: Connection, id_: str, ruling: Ruling) -> Ruling:
    """The ruling of somebody who has just looked at the lead, unless it says otherwise what they were shown."""
    live = reviews.live(connection, id_)
    if ruling.content or ruling.review_id or (live and live.reviewer == ruling.actor.name):
        return ruling
    row = connection.execute(sa.select(leads.c.type_id, leads.c.subject_id).where(leads.c.id == id_)).first()
    if row is None:
        return ruling
    subject = Subject(row.type_id, row.subject_id)
    return ruling._replace(content=ref_of(current_contents(connection, [subject]).get(subject)))


class QueueWorld:
    """A queue of comments on a database, with a clock of its own."""

    def __init__(self, engine: Engine, queue: QueuePolicy | None = None) -> None:
        self.engine = engine
        self.queue = queue or QueuePolicy(lease_minutes=15, aging_hours=24)
        self.now = START
        self.reasons: tuple[Reason, ...] = ()
        self._writes = 0

    def wait(self, span: int = clock.SECOND) -> None:
        self.now += span

    def offer(
        self, id_: str, score: float = 0.8, *, harm: str = "spam", tier: Tier = "review", exposure: float = 1.0
    ) -> Offered:
        with self.engine.begin() as connection:
            return offer(connection, [self.scored(id_, score, harm, tier, exposure)], self.now, self.queue)

    def scored(self, id_: str, score: float, harm: str, tier: Tier = "review", exposure: float = 1.0) -> Offer:
        severity, subject = POLICIES.harm(harm).severity, Subject("comment", id_)
        return Offer(subject, harm, score, tier, "1", f"p-{id_}", self.reasons, severity, exposure, self.now)

    def fill(self, n: int, seed: int) -> random.Random:
        """Open leads of two harms at random times of the last five days, in one transaction."""
        draw = random.Random(seed)
        with self.engine.begin() as connection:
            for i in range(n):
                self.now = START - draw.randrange(5 * clock.DAY)
                harm = draw.choice(("spam", "sexism"))
                one = self.scored(f"c{i:03}", draw.uniform(0.3, 1.0), harm, exposure=draw.uniform(1, 5))
                offer(connection, [one], self.now, self.queue)
        self.now = START
        return draw

    def claim(
        self, n: int = 1, reviewer: str = "ann", harms: Collection[str] | None = None, exclude: Collection[str] = ()
    ) -> list[Lead]:
        rest = {"queue": self.queue, "now": self.now}
        with self.engine.begin() as connection:
            found = claim(connection, n=n, actor=Actor(reviewer), harms=harms, exclude=exclude, **rest)  # type: ignore[arg-type]
            return [claimed.lead for claimed in found]

    def release(self, id_: str, reviewer: str) -> None:
        with self.engine.begin() as connection:
            leases.release(connection, id_, actor=Actor(reviewer), queue=self.queue, now=self.now)

    def expire(self) -> int:
        with self.engine.begin() as connection:
            return leases.expire(connection, queue=self.queue, now=self.now)

    def decide(self, id_: str, verdict: Verdict = "violating", reviewer: str = "ann") -> None:
        with self.engine.begin() as connection:
            ruling = informed(connection, id_, Ruling(verdict, Actor(reviewer)))
            decide_lead(connection, id_, ruling, policies=POLICIES, clock_=lambda: self.now)

    def settle(self, id_: str) -> int:
        """Settle a comment's lead by the decisions in the event log."""
        with self.engine.begin() as connection:
            subject = Subject("comment", id_)
            return settle(connection, subject_events.decisions(connection, [subject]).get(subject, []))

    def write(self, id_: str, text: str) -> None:
        """Create or edit a comment."""
        self._writes += 1
        body = ItemCreated(SubjectRef("comment", id_), account_id="a1", text=text)
        with self.engine.begin() as connection:
            event = Event(f"e{self._writes}", self.now, body)
            event_log.append(connection, "test", [event], clock_=lambda: self.now)

    def page(self, **filters: object) -> Page:
        with self.engine.connect() as connection:
            return list_leads(connection, queue=self.queue, now=self.now, **filters)  # type: ignore[arg-type]

    def ids(self, **filters: object) -> list[str]:
        """The comments on a page."""
        return [lead.subject.id for lead in self.page(**filters).leads]

    def states(self) -> dict[str, str]:
        with self.engine.connect() as connection:
            return {id_: state for id_, state in connection.execute(sa.select(leads.c.id, leads.c.state))}


def lead_of(id_: str, harm: str = "spam") -> str:
    """The id of a comment's lead."""
    return lead_id(Subject("comment", id_), harm)

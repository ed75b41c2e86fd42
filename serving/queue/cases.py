"""What a ruling is about: the pair, the content that was judged, and what was decided about it before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.content import ref_of
from leads.db.items import current_contents, named_contents
from leads.db.tables import leads
from leads.errors import Conflict, NotFound
from leads.events import ContentRef, LoggedEvent, Subject
from leads_client.fields import DecidedBy, Verdict
from serving.queue import reviews
from serving.queue.leads_table import Actor, Lead, lead_id
from serving.queue.reviews import Review
from serving.queue.settling import decisions_on


class Ruling(NamedTuple):
    """A verdict to record.

    `content` is the version that the reviewer was shown; None: the one that their review names. Without either, a
    person can only decide a subject that has no lead, and the verdict is about the current content.
    `on_old_content`: the verdict is about that version even if the content has changed since. `appeal` allows it to
    overturn an earlier human decision.
    """

    verdict: Verdict
    actor: Actor
    by: DecidedBy = "human"
    reason: str = ""
    appeal: bool = False
    review_id: str | None = None
    content: ContentRef | None = None
    on_old_content: bool = False


class Case(NamedTuple):
    """What a ruling is about: the pair, its lead, the decisions so far, and the content judged and held now."""

    subject: Subject
    harm: str
    lead: Lead | None
    past: Sequence[LoggedEvent]
    review: Review | None
    judged: ContentRef
    held: ContentRef


def read_case(connection: Connection, subject: Subject, harm: str, lead: Lead | None, ruling: Ruling) -> Case:
    """What a ruling is about; the caller has locked the log and the lead.

    Raises:
        NotFound: the review that the ruling names doesn't exist.
        Conflict: the subject never had the content that it names, or the review has ended with another verdict.
    """
    held = ref_of(current_contents(connection, [subject]).get(subject))
    review = _review(connection, subject, harm, ruling)
    about = ruling.content or (review.content if review else held)
    if about != held and not named_contents(connection, [(subject, about)]):
        raise Conflict(
            "The subject never had this content version.",
            field="/contentVersion",
            remedy="Send the `contentVersion` that came with the lead, unchanged.",
        )
    after = _reopened_after(connection, lead_id(subject, harm)) if lead else 0
    past = decisions_on(connection, subject, harm, about, after=after)
    return Case(subject, harm, lead, past, review, about, held)


def _reopened_after(connection: Connection, id_: str) -> int:
    """The offset up to which decisions don't settle the lead any longer, because reports opened it again; 0: none."""
    return connection.execute(sa.select(leads.c.reopened_after).where(leads.c.id == id_)).scalar() or 0


def _review(connection: Connection, subject: Subject, harm: str, ruling: Ruling) -> Review | None:
    """The review that the ruling ends: the one it names, else the reviewer's live one."""
    id_ = lead_id(subject, harm)
    if ruling.review_id is None:
        live = reviews.live(connection, id_)
        return live if live and live.reviewer == ruling.actor.name else None
    review = reviews.find(connection, ruling.review_id)
    if review is None or review.lead_id != id_ or review.reviewer != ruling.actor.name:
        raise NotFound(
            "This reviewer has no review with this id for the lead.",
            field="/reviewId",
            remedy="Send the `reviewId` that came with the claim, or leave it out.",
        )
    if not review.has_verdict:
        return review
    if ruling.appeal:
        # It is over. The appeal is a look of its own.
        return None
    if review.verdict != ruling.verdict:
        raise Conflict(
            f"This review has ended with the verdict {review.verdict}.",
            field="/reviewId",
            remedy="To overturn a decision, send yours with `appeal: true` to POST /v1/decisions.",
        )
    return review

"""Reviews: each look at a lead, by whom, at which content, and what came of it.

A claim starts a review and leases its lead to one reviewer. The review ends when the reviewer decides or releases the
lead, or when the lease runs out.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from leads.clock import Micros
from leads.content import Content, ref_of
from leads.db.items import contents_at, current_contents
from leads.db.tables import reviews
from leads.events import ContentRef, Subject
from leads_client.fields import Verdict
from serving.queue.leads_table import Actor, Lead

Purpose = Literal["ranked", "exploration", "audit", "second", "golden", "appeal"]
ReviewState = Literal["claimed", "decided", "escalated", "released", "expired"]
_CHUNK = 500


class Review(NamedTuple):
    """A look at a lead. `content` is what was shown, `scored_at` when the subject had last been scored by then.

    `verdict` is how it ended, if it ended with one.
    """

    id: str
    lead_id: str
    purpose: Purpose
    content: ContentRef
    prediction_id: str | None
    scored_at: Micros | None
    state: ReviewState
    reviewer: str
    lease_until: Micros | None
    fence: int
    verdict: Verdict | None = None

    @property
    def has_verdict(self) -> bool:
        """Whether it ended with a verdict, so that it can't decide anything more."""
        return self.state in ("decided", "escalated")


def start(
    connection: Connection,
    claimed: Sequence[Lead],
    actor: Actor,
    *,
    state: ReviewState,
    now: Micros,
    lease_until: Micros | None = None,
    purpose: Purpose = "ranked",
    content: ContentRef | None = None,
    verdict: Verdict | None = None,
) -> list[Review]:
    """Start one review for each lead. The leads must be locked.

    Args:
        content: the version that was shown; None: the one that each subject holds now.
        verdict: how the reviews ended, if they are over already.
    """
    held = {} if content else current_contents(connection, [lead.subject for lead in claimed])
    fences = _fences(connection, [lead.id for lead in claimed])
    found = [
        Review(
            f"r_{secrets.token_hex(12)}",
            lead.id,
            purpose,
            content or ref_of(held.get(lead.subject)),
            lead.prediction_id,
            lead.scored_at,
            state,
            actor.name,
            lease_until,
            fences.get(lead.id, 0) + 1,
            verdict,
        )
        for lead in claimed
    ]
    rows = [
        _row(review)
        | {"rank": lead.priority, "created_at": now, "key_id": actor.key_id, "harm": lead.harm}
        | {"ended_at": None if state == "claimed" else now}
        | {"score": lead.score, "tier": lead.tier, "model_version": lead.model_version}
        for review, lead in zip(found, claimed, strict=True)
    ]
    if rows:
        connection.execute(sa.insert(reviews), rows)
    return found


def scored_contents(
    connection: Connection, found: Collection[Lead], held: Mapping[Subject, Content]
) -> dict[str, ContentRef]:
    """The version that each lead's score and reasons are about, by the lead's id.

    Args:
        held: what the subjects hold now.
    """
    known = contents_at(connection, {(lead.subject, lead.scored_at) for lead in found}, held)
    return {lead.id: ref_of(known.get((lead.subject, lead.scored_at))) for lead in found}


def find(connection: Connection, id_: str) -> Review | None:
    """The review with this id."""
    row = connection.execute(sa.select(reviews).where(reviews.c.id == id_)).first()
    return _review(row) if row else None


def live(connection: Connection, lead_id: str) -> Review | None:
    """The review that holds the lead: its newest, if that is still claimed."""
    query = sa.select(reviews).where(reviews.c.lead_id == lead_id).order_by(reviews.c.fence.desc()).limit(1)
    row = connection.execute(query).first()
    return _review(row) if row and row.state == "claimed" else None


def ran_out(connection: Connection, lead_id: str, reviewer: str, now: Micros) -> Micros | None:
    """When the lease of the reviewer's newest review of the lead ran out; None if it ended in another way."""
    own = (reviews.c.lead_id == lead_id, reviews.c.reviewer == reviewer)
    row = connection.execute(sa.select(reviews).where(*own).order_by(reviews.c.fence.desc()).limit(1)).first()
    if row is None or row.lease_until is None or row.lease_until > now or row.state not in ("claimed", "expired"):
        return None
    return int(row.lease_until)


def held_by(connection: Connection, reviewer: str, now: Micros, *, limit: int) -> list[Review]:
    """The reviews whose leases the reviewer holds, those that run out first at the front."""
    query = _held(reviewer, now).order_by(reviews.c.lease_until, reviews.c.id).limit(limit)
    return [_review(row) for row in connection.execute(query)]


def released_by(connection: Connection, reviewer: str, since: Micros, *, limit: int) -> list[str]:
    """The ids of the leads that the reviewer released last, newest first."""
    # The functions keep databases from reading all that the reviewer ever released: the index of what ended is shorter.
    own = sa.func.coalesce(reviews.c.reviewer, "") == reviewer
    chosen = (reviews.c.ended_at > since, own, sa.func.coalesce(reviews.c.state, "") == "released")
    query = sa.select(reviews.c.lead_id).where(*chosen).order_by(reviews.c.ended_at.desc()).limit(limit)
    return list(connection.execute(query).scalars())


def count_held(connection: Connection, reviewer: str, now: Micros) -> int:
    """How many leases the reviewer holds."""
    return connection.execute(sa.select(sa.func.count()).select_from(_held(reviewer, now).subquery())).scalar_one()


def finish(connection: Connection, id_: str, state: ReviewState, now: Micros, verdict: str) -> None:
    """End a review with a verdict, also one whose lease has run out."""
    ended = sa.update(reviews).where(reviews.c.id == id_)
    connection.execute(ended.values(state=state, ended_at=now, verdict=verdict))


def end(connection: Connection, lead_ids: Iterable[str], state: ReviewState, now: Micros, verdict: str | None) -> None:
    """End the live reviews of these leads."""
    ended = sa.update(reviews).where(reviews.c.lead_id.in_(list(lead_ids)), reviews.c.state == "claimed")
    connection.execute(ended.values(state=state, ended_at=now, verdict=verdict))


def extend(connection: Connection, lead_id: str, lease_until: Micros) -> None:
    """Let the live review of a lead last longer."""
    its = (reviews.c.lead_id == lead_id, reviews.c.state == "claimed")
    connection.execute(sa.update(reviews).where(*its).values(lease_until=lease_until))


def _held(reviewer: str, now: Micros) -> sa.Select[Any]:
    return sa.select(reviews).where(
        reviews.c.reviewer == reviewer, reviews.c.state == "claimed", reviews.c.lease_until > now
    )


def _fences(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for start_ in range(0, len(ids), _CHUNK):
        newest = sa.select(reviews.c.lead_id, sa.func.max(reviews.c.fence).label("fence")).group_by(reviews.c.lead_id)
        chosen = newest.where(reviews.c.lead_id.in_(ids[start_ : start_ + _CHUNK]))
        found.update((row.lead_id, row.fence) for row in connection.execute(chosen))
    return found


def _row(review: Review) -> dict[str, Any]:
    values = review._asdict()
    content = values.pop("content")
    return values | {"content_offset": content.offset, "content_hash": content.hash}


def _review(row: Row[Any] | Mapping[str, Any]) -> Review:
    values = dict(row._mapping) if isinstance(row, Row) else dict(row)
    content = ContentRef(values["content_offset"], values["content_hash"])
    return Review(content=content, **{name: values[name] for name in Review._fields if name != "content"})

"""Bodies of requests to the API, a lead, and what tests look at afterwards."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.tables import audit, events, idempotency, leads
from leads.events import Subject
from leads.policies import QueuePolicy
from serving.queue.offers import Offer, offer
from serving.scoring.reasons.explanation import Reason
from tests.support.serving.world import BENIGN_TEXT

SECRET_TEXT = "buy my secret thing"
A_TRACK = {"id": "t1", "typeId": "track"}
REPORT = {"subject": {"id": "c1", "typeId": "comment"}, "kind": "user_report", "source": "app"}
PLAY = {"subject": {"id": "t1", "typeId": "track"}, "accountId": "a1", "seconds": 1}


def put_lead(engine: Engine, id_: str = "c1", score: float = 0.8, harm: str = "spam") -> str:
    now = clock.now()
    reasons = (Reason("TEXT_LINKS", "2 links in the text", 1.5),)
    one = Offer(Subject("comment", id_), harm, score, "review", "1", "p", reasons, 3.0, 1.0, now)
    with engine.begin() as connection:
        offer(connection, [one], now, QueuePolicy())
    with engine.connect() as connection:
        found: str = connection.execute(
            sa.select(leads.c.id).where(leads.c.subject_id == id_, leads.c.harm == harm)
        ).scalar_one()
    return found


def counts(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (events, leads, audit, idempotency)
        } | {"states": hash(tuple(connection.execute(sa.select(leads.c.id, leads.c.state).order_by(leads.c.id))))}


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert set(body) == {"type", "title", "status", "detail", "errors", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    assert SECRET_TEXT not in response.text
    return body


def an_item(id_: str = "c1", text: str = BENIGN_TEXT, **more: object) -> dict[str, Any]:
    data = {"text": text, "accountId": "a1", "parent": {"id": "t1", "typeId": "track"}}
    return {"id": id_, "typeId": "comment", "data": data, **more}


def score_of(**subject: object) -> dict[str, Any]:
    return {"subjects": [{"id": "c1", "typeId": "comment", **subject}]}


def filled(path: str, lead_id: str) -> str:
    """The template of a route with ids in it; those of other things than leads belong to nothing."""
    return path.format_map(defaultdict(lambda: "1", lead_id=lead_id))

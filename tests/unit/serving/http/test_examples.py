"""Examples show values that the code could return, not only values of the right type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import keys
from leads.events import Subject
from leads.policies import QueuePolicy
from leads_client.schemas.leads import ClaimedOut, ClaimIn, DecidedOut, LeadDetail, LeadsOut, ReleasedOut, TrailOut
from leads_client.schemas.scores import ScoreIn, ScoresOut
from leads_client.schemas.stats import StatsOut
from serving.http.openapi.examples import CURSOR, LEAD_ID, REQUESTS, RESPONSES
from serving.queue.leads_table import lead_id
from serving.queue.offers import Offer, offer
from serving.queue.queue import list_leads
from serving.runtime import Runtime
from serving.scoring.reasons.explanation import Reason
from tests.support.examples import alike, reason_texts, reasons_in, without_numbers
from tests.support.paths import REPOSITORY
from tests.support.serving.world import POLICIES, Http, make_stack

SUBJECT = Subject("comment", "c-81")
# What the caller chooses, what a model computes, and what a person writes.
FREE = {"id", "score", "margin", "base", "rest", "weight", "priority", "text", "oldestFeatureAgeS", "detail", "source"}


@pytest.fixture
def client(runtime: Runtime) -> Iterator[Http]:
    key = keys.create(runtime.engine, "all", ["admin"])
    with start_blocking_portal() as portal:
        yield Http(make_stack(runtime), portal, headers={"x-api-key": key.text})


def put_lead(engine: Engine) -> None:
    reason = Reason("TEXT_RESEMBLES_VIOLATIONS", "the wording is very similar to violating texts", 2.125)
    one = Offer(SUBJECT, "spam", 0.9312, "review", "3", "4f" * 16, (reason,), 3.0, 1.0, clock.now())
    with engine.begin() as connection:
        offer(connection, [one], clock.now(), QueuePolicy())


def first(type_: type) -> Any:
    return next(iter(RESPONSES[type_].values()))


def compare(real: Any, shown: Any, where: str) -> None:
    """Check what both have: ids and times have the same form, and fixed words are equal."""
    if isinstance(shown, dict) and isinstance(real, dict):
        for name in set(shown) & set(real):
            compare(real[name], shown[name], f"{where}/{name}")
    elif isinstance(shown, list) and isinstance(real, list):
        for one, two in zip(real, shown, strict=False):
            compare(one, two, where)
    elif isinstance(shown, str) and isinstance(real, str):
        assert alike(real, shown), (where, real, shown)
        if where.rpartition("/")[2] in ("harm", "model", "code", "kind", "by", "state", "action", "actor", "role"):
            assert real == shown, where


def test_responses(client: Http, runtime: Runtime) -> None:
    put_lead(runtime.engine)
    review_id = None
    for path, body, type_ in (
        ("/score", REQUESTS[ScoreIn]["Both: sent fields override stored ones"] | {"reasons": True}, ScoresOut),
        ("/leads", None, LeadsOut),
        (f"/leads/{LEAD_ID}", None, LeadDetail),
        ("/leads/claim", REQUESTS[ClaimIn]["The top five"], ClaimedOut),
        (f"/leads/{LEAD_ID}/audit", None, TrailOut),
        (f"/leads/{LEAD_ID}/release", {"reviewer": "rev-12"}, ReleasedOut),
        (f"/leads/{LEAD_ID}/decision", {"verdict": "violating", "reviewer": "rev-12", "reviewId": ""}, DecidedOut),
    ):
        if body and "reviewId" in body:
            body["reviewId"] = review_id
        answer = client.get(f"/v1{path}") if body is None else client.post(f"/v1{path}", json=body)
        review_id = answer.json()["leads"][0].get("reviewId") if type_ is ClaimedOut else review_id
        assert answer.status_code == 200, answer.text
        compare(answer.json(), first(type_), path)


def test_the_figures_of_a_key_for_one_harm(client: Http, runtime: Runtime) -> None:
    put_lead(runtime.engine)
    client.post("/v1/leads/claim", json=REQUESTS[ClaimIn]["The top five"])
    key = keys.create(runtime.engine, "spam alone", ["leads:read"], harms=["spam"]).text
    real, shown = client.get("/v1/leads/stats", headers={"x-api-key": key}).json(), first(StatsOut)
    compare(real, shown, "/leads/stats")
    (harm,), (reviewer,) = shown["harms"], shown["reviewers"]
    assert [set(x) for x in real["harms"]] == [set(harm)]
    assert [(set(x), x["reviewer"]) for x in real["reviewers"]] == [(set(reviewer), reviewer["reviewer"])]
    # What one reviewer did is a part of what was done, and the last hour is a part of the last day.
    for name, n in harm["lastHour"].items():
        assert reviewer["lastHour"][name] <= n <= harm["last24Hours"][name]
    assert reviewer["held"] <= harm["leads"]["claimed"]


def test_the_audit_trail_is_the_one_that_the_code_writes(client: Http, runtime: Runtime) -> None:
    put_lead(runtime.engine)
    client.post("/v1/leads/claim", json=REQUESTS[ClaimIn]["The top five"])
    real, shown = client.get(f"/v1/leads/{LEAD_ID}/audit").json()["entries"], first(TrailOut)["entries"]
    assert [(x["action"], x["actor"], set(x["detail"])) for x in shown] == [
        (x["action"], x["actor"], set(x["detail"])) for x in real
    ]


def test_the_lead_is_the_subject_s_and_the_cursor_the_page_s(engine: Engine) -> None:
    assert lead_id(SUBJECT, "spam") == LEAD_ID
    page = first(LeadsOut)
    assert (page["leads"][-1]["id"], page["nextCursor"]) == (LEAD_ID, CURSOR)
    with engine.connect() as connection:
        list_leads(connection, queue=POLICIES.queue, now=clock.now(), cursor=CURSOR)


def pages() -> Iterator[Any]:
    """The examples in OpenAPI and the JSON in the API's documentation."""
    for examples in RESPONSES.values():
        yield from examples.values()
    page = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        yield json.loads(block)


def test_each_reason_has_the_text_that_the_code_gives_it() -> None:
    found = [reason for page in pages() for reason in reasons_in(page)]
    assert len(found) >= 4
    for code, text in found:
        assert without_numbers(text) in reason_texts(code), (code, text)

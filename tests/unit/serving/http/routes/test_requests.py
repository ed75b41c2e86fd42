"""What every request has: an id, an entry in the metrics, and no detail of an internal error."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from anyio.from_thread import BlockingPortal
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db import event_log, keys
from leads.db.tables import audit, events, idempotency, leads
from leads.events import DecisionMade, ItemCreated, Played, SignalReceived, Subject
from leads.policies import QueuePolicy
from serving.http.bodies import MAX_BODY_BYTES
from serving.http.openapi.examples import LEAD_ID
from serving.http.openapi.route_docs import ROUTES
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from serving.scoring.reasons.explanation import Reason
from tests.support.serving.world import BENIGN_TEXT, SPAM_TEXT, Http, make_stack
from tests.support.serving.route_world import A_TRACK, PLAY, REPORT, SECRET_TEXT, an_item, counts, problem, put_lead, score_of


def test_a_valid_request_id_is_kept(client: Http) -> None:
    assert client.get("/v1/models", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/v1/models", headers={"x-request-id": "a b<script>"}).headers["x-request-id"] != "a b<script>"


def test_an_internal_error_reveals_only_the_request_id(
    client: Http, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/v1/items", json={"items": [an_item()]})
    runtime.reader.error = RuntimeError(SECRET_TEXT)  # type: ignore[attr-defined]
    found = problem(client.post("/v1/score", json=score_of()), 500)
    assert found["request_id"] in caplog.text
    assert "RuntimeError in" in caplog.text
    assert SECRET_TEXT not in caplog.text


def test_counters_are_labelled_by_route_template(client: Http, runtime: Runtime, engine: Engine) -> None:
    lead = put_lead(engine)
    client.get(f"/v1/leads/{lead}")
    client.get("/v1/leads/l_none")
    client.get("/v1/anything/else")
    client.post("/v1/score", json=score_of(data={"text": SPAM_TEXT}))
    text = runtime.metrics.text().decode()
    assert 'leads_http_requests_total{method="GET",route="/v1/leads/{lead_id}",status="200"} 1.0' in text
    assert 'leads_http_requests_total{method="GET",route="/v1/leads/{lead_id}",status="404"} 1.0' in text
    assert 'leads_http_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert 'leads_scores_total{harm="spam",role="champion",tier="auto"} 1.0' in text
    assert lead not in text

"""What every request has: an id, an entry in the metrics, and no detail of an internal error."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from serving.runtime import Runtime
from tests.support.serving.route_world import (
    SECRET_TEXT,
    an_item,
    problem,
    put_lead,
    score_of,
)
from tests.support.serving.world import SPAM_TEXT, Http


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

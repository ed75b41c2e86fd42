"""The middleware seen from outside: limits, rates, access log, metrics, traces, health."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.engine import Engine
from starlette.types import ASGIApp, Receive, Scope, Send

from leads.db import keys
from leads.errors import Unavailable
from serving.http.bodies import MAX_HEADER_BYTES, MAX_TARGET_BYTES
from serving.http.middleware import ApiMiddleware
from serving.http.rate_limits import UNIT_BYTES, RateLimits
from serving.observe import request_notes
from serving.observe.logs import ACCESS, JsonLines
from serving.observe.tracing import Tracing
from serving.runtime import Runtime
from serving.scoring.stages import Stages
from tests.support.serving.world import Http, make_stack, point_to

pytestmark = pytest.mark.slow

_log = logging.getLogger("test.inside")


@pytest.fixture
def key(engine: Engine) -> str:
    return keys.create(engine, "x", ["admin"]).text


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.WARNING, logger="httpx")
    caplog.set_level(logging.INFO)
    return Lines(caplog)


class Lines:
    """What the log holds, as JSON lines; formatted while the request is on."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.handler.setFormatter(JsonLines())
        self._caplog = caplog

    @property
    def all(self) -> list[dict[str, Any]]:
        self._caplog.handler.flush()
        return [json.loads(line) for line in self._caplog.handler.stream.getvalue().splitlines()]

    @property
    def access(self) -> list[dict[str, Any]]:
        return [line for line in self.all if line["logger"] == ACCESS]


def scoring_app(runtime: Runtime) -> ASGIApp:
    """An app that does what a scoring route does: work in a thread, note its stages, say something."""

    def work() -> None:
        notes, stages = request_notes.current(), Stages()
        assert notes is not None
        stages.mark("lookup")
        stages.mark("predict")
        notes.note_scoring(stages.done, subjects=3, harms=["spam"], versions=["spam:1"])
        _log.warning("from the thread")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await runtime.run(work)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    return ApiMiddleware(app, lambda: runtime)


def test_a_key_over_its_rate_limit_is_refused(runtime: Runtime, portal: BlockingPortal) -> None:
    limited = replace(runtime, rates=RateLimits(1.0, timer=lambda: 5.0))
    client = Http(make_stack(limited), portal)
    one, other, free = (keys.create(runtime.engine, "x", ["admin"], rate=rate).text for rate in (None, None, 0.0))
    answers = [client.get("/v1/models", headers={"x-api-key": one}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["content-type"] == "application/problem+json"
    assert answers[2].headers["retry-after"] == "1"
    assert answers[2].json()["type"] == "urn:lead-serving:problem:too-many-requests"
    assert client.get("/v1/models", headers={"x-api-key": other}).status_code == 200
    assert {client.get("/v1/models", headers={"x-api-key": free}).status_code for _ in range(9)} == {200}
    assert client.get("/livez").status_code == 200
    assert 'leads_rate_limited_total{limit="key"} 1.0' in runtime.metrics.text().decode()


def test_a_large_body_counts_as_several_requests(runtime: Runtime, portal: BlockingPortal, key: str) -> None:
    limited = replace(runtime, rates=RateLimits(2.0, timer=lambda: 5.0))
    client = Http(make_stack(limited), portal, headers={"x-api-key": key})
    assert client.post("/v1/score", content=b" " * (5 * UNIT_BYTES)).status_code == 422
    assert client.get("/v1/models").status_code == 429


def test_too_long_or_compressed_requests_get_problem_documents(
    runtime: Runtime, portal: BlockingPortal, key: str
) -> None:
    client = Http(make_stack(runtime), portal, headers={"x-api-key": key})
    for answer, status in (
        (client.get("/v1/models", headers={"x-more": "x" * MAX_HEADER_BYTES}), 431),
        (client.get("/v1/leads", params={"cursor": "x" * MAX_TARGET_BYTES}), 414),
        (client.post("/v1/score", content=b"\x1f\x8b", headers={"content-encoding": "gzip"}), 415),
    ):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["accept-encoding"] == "identity"


def test_each_request_is_one_line_in_the_access_log(
    runtime: Runtime, portal: BlockingPortal, key: str, lines: Lines, engine: Engine
) -> None:
    client = Http(make_stack(runtime), portal, headers={"x-api-key": key, "x-request-id": "r-1"})
    body = json.dumps({"subjects": [{"id": "c1", "typeId": "comment", "data": {"text": "tell no one"}}]})
    answer = client.post("/v1/score", content=body)
    client.get("/v1/leads/l_secret")
    client.get("/nope/hidden", params={"q": "hidden"}, headers={"x-api-key": "ls_wrong"})
    client.get("/v1/leads", params={"hidden": "hidden"})
    first, second, third, fourth = lines.access
    assert (first["method"], first["route"], first["status"], first["level"]) == ("POST", "/v1/score", 200, "info")
    assert first["request_id"] == "r-1"
    assert first["key"] == key.split("_")[1]
    assert first["subjects"] == 1
    assert (first["bytes_in"], first["bytes_out"]) == (len(body), len(answer.content))
    assert first["duration_ms"] > 0
    assert first["time"].endswith("Z")
    assert (second["route"], second["status"]) == ("/v1/leads/{lead_id}", 404)
    assert (third["route"], third["status"], "key" in third) == ("other", 401, False)
    assert (fourth["route"], fourth["status"]) == ("/v1/leads", 422)
    said = json.dumps(lines.all)
    for secret in ("tell no one", "hidden", "l_secret", "ls_wrong", key.split("_", 2)[2]):
        assert secret not in said


def test_log_lines_of_a_request_contain_its_id(
    runtime: Runtime, portal: BlockingPortal, key: str, lines: Lines
) -> None:
    client = Http(scoring_app(runtime), portal, headers={"x-api-key": key})
    ids = [client.post("/v1/score", content=b"{}").headers["x-request-id"] for _ in range(2)]
    inside = [line for line in lines.all if line["logger"] == "test.inside"]
    assert [line["request_id"] for line in inside] == ids
    assert [line["subjects"] for line in lines.access] == [3, 3]
    assert request_notes.current() is None


def test_health_routes_are_logged_only_when_they_fail(runtime: Runtime, portal: BlockingPortal, lines: Lines) -> None:
    client = Http(make_stack(runtime), portal)
    assert [client.get(path).status_code for path in ("/livez", "/healthz", "/readyz")] == [200] * 3
    assert lines.access == []
    runtime.stopping.set()
    assert client.get("/readyz").status_code == 503
    assert [(line["route"], line["status"]) for line in lines.access] == [("/readyz", 503)]


def test_readyz_says_whether_every_champion_serves_and_no_more(
    runtime: Runtime, portal: BlockingPortal, key: str
) -> None:
    client = Http(make_stack(runtime), portal)
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "online_store": "ok"})
    assert client.get("/livez").text == "ok\n"
    # A newer version that isn't there is refused; the older one answers, so the service is ready.
    point_to(runtime.settings, "spam", "2")
    runtime.published.refresh()
    assert client.get("/readyz").json() == {**ready.json(), "versions": "damaged"}
    # Those with a key learn why, but not where the service keeps its files.
    models = client.get("/v1/models", headers={"x-api-key": key})
    (spam,) = (x for x in models.json()["models"] if x["harm"] == "spam")
    assert (spam["serving"], list(spam["refused"])) == ("1", ["2"])
    assert str(runtime.settings.root) not in models.text
    # Nothing at all answers for a published harm.
    point_to(runtime.settings, "sexism", "1")
    runtime.published.refresh()
    missing = client.get("/readyz")
    assert (missing.status_code, missing.json()["status"]) == (503, "not_ready")
    runtime.stopping.set()
    assert client.get("/readyz").json()["status"] == "stopping"
    assert client.get("/livez").status_code == 200


def test_before_start_up_the_service_is_alive_but_not_ready(portal: BlockingPortal, lines: Lines) -> None:
    def none_yet() -> Runtime:
        raise Unavailable("The service is starting or ending.")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    client = Http(ApiMiddleware(app, none_yet), portal)
    assert client.get("/livez").status_code == 200
    assert (client.get("/readyz").status_code, client.get("/readyz").json()) == (503, {"status": "starting"})
    assert client.get("/v1/models").status_code == 503
    assert [line["status"] for line in lines.access] == [503] * 3


def test_metrics_of_a_request(runtime: Runtime, portal: BlockingPortal, key: str) -> None:
    client = Http(scoring_app(runtime), portal, headers={"x-api-key": key})
    client.post("/score", content=b"{}")
    client.request("BREW", "/score")
    text = runtime.metrics.text().decode()
    assert 'leads_http_requests_total{method="POST",route="/score",status="200"} 1.0' in text
    assert 'leads_http_requests_total{method="other",route="/score",status="200"} 1.0' in text
    assert 'leads_stage_seconds_count{stage="lookup"} 2.0' in text
    assert "leads_inflight_requests 0.0" in text


def test_an_aborted_request_does_not_stay_in_progress(runtime: Runtime, portal: BlockingPortal, key: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"x-api-key", key.encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/score", "query_string": b"", "headers": headers}
    portal.call(ApiMiddleware(app, lambda: runtime), scope, gone, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    text = runtime.metrics.text().decode()
    assert 'leads_http_requests_total{method="POST",route="/score",status="499"} 1.0' in text
    assert "leads_inflight_requests 0.0" in text


def test_a_timeout_is_a_problem_document(runtime: Runtime, portal: BlockingPortal, key: str, lines: Lines) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError

    for one, timeout_s, status in ((app, 0.05, 503), (fails, 60.0, 500)):
        client = Http(ApiMiddleware(one, lambda: runtime, timeout_s=timeout_s), portal, headers={"x-api-key": key})
        answer = client.post("/score", content=b"{}")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert [line["status"] for line in lines.access] == [503, 500]
    assert "leads_inflight_requests 0.0" in runtime.metrics.text().decode()


def test_a_cancelled_request_is_logged_and_counted(
    runtime: Runtime, portal: BlockingPortal, key: str, lines: Lines
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    client = Http(ApiMiddleware(app, lambda: runtime), portal, headers={"x-api-key": key})
    with pytest.raises(CancelledError):
        client.post("/score", content=b"{}")
    assert [line["status"] for line in lines.access] == [499]
    assert "leads_inflight_requests 0.0" in runtime.metrics.text().decode()


def test_a_trace_has_a_span_for_each_stage(runtime: Runtime, portal: BlockingPortal, key: str, lines: Lines) -> None:
    spans = InMemorySpanExporter()
    tracing = Tracing(SimpleSpanProcessor(spans))
    client = Http(scoring_app(replace(runtime, tracing=tracing)), portal, headers={"x-api-key": key})
    trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    answer = client.post("/score?q=hidden", content=b"{}", headers={"traceparent": f"00-{trace}-{caller}-01"})
    tracing.close()
    by_name = {span.name: span for span in spans.get_finished_spans()}
    assert set(by_name) == {"POST /score", "auth", "body", "lookup", "predict"}
    root = by_name["POST /score"]
    assert root.context is not None
    assert root.parent is not None
    assert (f"{root.context.trace_id:032x}", f"{root.parent.span_id:016x}") == (trace, caller)
    assert dict(root.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/score",
        "http.response.status_code": 200,
        "leads.request_id": answer.headers["x-request-id"],
        "leads.harms": ("spam",),
        "leads.versions": ("spam:1",),
        "leads.subjects": 3,
    }
    for name in ("auth", "body", "lookup", "predict"):
        child = by_name[name]
        assert child.parent is not None
        assert child.parent.span_id == root.context.span_id
        assert child.start_time is not None
        assert child.end_time is not None
        assert child.start_time <= child.end_time
    assert lines.access[0]["trace_id"] == trace


def test_without_tracing_nothing_is_traced(runtime: Runtime, portal: BlockingPortal, key: str, lines: Lines) -> None:
    client = Http(scoring_app(runtime), portal, headers={"x-api-key": key})
    client.post("/score", content=b"{}", headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    assert "trace_id" not in lines.access[0]


def test_responses_close_the_connection_while_a_process_leaves(runtime: Runtime, portal: BlockingPortal) -> None:
    http = Http(make_stack(runtime), portal, {"x-api-key": keys.create(runtime.engine, "y", ["admin"]).text})
    paths = ("/v1/models", "/v1/nothing", "/livez", "/readyz")
    assert not any("connection" in http.get(path).headers for path in paths)
    runtime.handing_over.set()
    assert [http.get(path).headers["connection"] for path in paths] == ["close"] * 4
    # Other processes of the host answer as before.
    assert http.get("/readyz").json()["status"] != "stopping"
    runtime.handing_over.clear()
    runtime.stopping.set()
    assert http.get("/v1/models").headers["connection"] == "close"
    assert http.get("/readyz").json()["status"] == "stopping"

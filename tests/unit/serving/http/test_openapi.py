"""The OpenAPI document is complete and matches the schemas and the routes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
import sqlalchemy as sa
from anyio.from_thread import start_blocking_portal
from openapi_spec_validator import OpenAPIV31SpecValidator
from sqlalchemy.engine import Engine

from leads import clock
from leads.api.requests import parse
from leads.db import keys
from leads.db.monitoring.tables import alerts
from leads.db.tables import leads
from leads.events import Subject
from leads.policies import QueuePolicy
from serving.http.openapi.assembly import whole_document
from serving.http.openapi.examples import CURSOR, LEAD_ID, REQUESTS, RESPONSES
from serving.http.openapi.route_docs import ROUTES
from serving.queue.offers import Offer, offer
from serving.runtime import Runtime
from serving.scoring.reasons.explanation import Reason
from tests.support.paths import REPOSITORY
from tests.support.serving.world import Http, make_stack

pytestmark = pytest.mark.slow

JSON, PROBLEM = "application/json", "application/problem+json"
WITHOUT_404 = {
    "GET /models",
    "GET /types",
    "GET /harms",
    "GET /leads/stats",
    "GET /reviews",
    "GET /monitoring/runs",
    "GET /monitoring/summary",
    "GET /monitoring/silences",
    "POST /items",
    "POST /plays",
    "POST /events",
}
ALWAYS = {"401", "429", "431", "503", "default"}


@pytest.fixture
def client(runtime: Runtime) -> Iterator[Http]:
    scopes = [one for one in keys.SCOPES if one not in ("metrics", "admin")]
    key = keys.create(runtime.engine, "all", scopes)
    with start_blocking_portal() as portal:
        yield Http(make_stack(runtime), portal, headers={"x-api-key": key.text})


@pytest.fixture
def document(client: Http) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def parameters(document: dict[str, Any], operation: dict[str, Any]) -> list[dict[str, Any]]:
    """An operation's parameters, those that several operations share included."""
    shared = document["components"]["parameters"]
    return [shared[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in operation.get("parameters", [])]


def put_lead(engine: Engine, id_: str) -> str:
    now = clock.now()
    one = Offer(Subject("comment", id_), "spam", 0.8, "review", "1", "p", (Reason("A", "a", 1.5),), 3.0, 1.0, now)
    with engine.begin() as connection:
        offer(connection, [one], now, QueuePolicy())
        found: str = connection.execute(sa.select(leads.c.id).where(leads.c.subject_id == id_)).scalar_one()
    return found


def put_alert(engine: Engine) -> int:
    about = {"rule": "skew", "harm": "spam", "slice": "", "version": "3", "severity": "page", "state": "firing"}
    times = {"since": 0, "opened_at": 0, "seen_at": 0}
    with engine.begin() as connection:
        key = connection.execute(sa.insert(alerts).values(**about, **times, limit=0.0, detail={})).inserted_primary_key
    assert key is not None
    return int(key[0])


def shape(value: object) -> object:
    """Names and kinds of what is there, of lists those of the first entry."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_every_route_is_described_in_full(document: dict[str, Any]) -> None:
    found = operations(document)
    assert set(found) == set(ROUTES)
    assert document["components"]["securitySchemes"]["key"]["name"] == "X-API-Key"
    groups = {tag["name"]: tag["description"] for tag in document["tags"]}
    assert all(groups.values())
    for name, operation in found.items():
        assert operation["summary"], name
        assert set(operation["tags"]) <= set(groups), name
        assert operation["security"] == [{"key": []}, {"bearer": []}], name
        assert "Requires a key" in operation["description"], name
        assert set(operation["responses"]) >= ALWAYS, name
        for parameter in parameters(document, operation):
            assert parameter["description"], (name, parameter)
            assert parameter.get("example") or parameter.get("examples"), (name, parameter["name"])
        for status, response in operation["responses"].items():
            (media,) = response["content"].values()
            assert media["schema"], (name, status)
            assert media.get("examples") or status == "default", (name, status)
            assert "X-Request-Id" in response["headers"], (name, status)
        assert operation["responses"]["429"]["headers"]["Retry-After"]["schema"] == {"type": "integer"}
        takes_body = name.startswith("POST")
        assert ({"408", "413", "415", "422"} <= set(operation["responses"])) is takes_body, name
        writes = not name.startswith("GET") and name != "POST /score"
        assert ("409" in operation["responses"]) is (writes or name == "POST /score"), name
        assert ("404" in operation["responses"]) is (name not in WITHOUT_404), name
        assert "403" in operation["responses"], name


def test_both_documents_are_valid(document: dict[str, Any]) -> None:
    for one in (document, whole_document(document, "/v1")):
        assert [error.message for error in OpenAPIV31SpecValidator(one).iter_errors()] == []


def test_examples_fit_their_schemas(document: dict[str, Any]) -> None:
    checked = 0
    for name, operation in operations(document).items():
        parts = [*operation.get("requestBody", {"content": {}})["content"].items()]
        parts += [part for response in operation["responses"].values() for part in response["content"].items()]
        for _, media in parts:
            schema = {**media["schema"], "components": document["components"]}
            jsonschema.Draft202012Validator.check_schema(schema)
            for example in media.get("examples", {}).values():
                jsonschema.validate(example["value"], schema, jsonschema.Draft202012Validator)
                checked += 1
        for status, response in operation["responses"].items():
            for example in response["content"].get(PROBLEM, {}).get("examples", {}).values():
                assert str(example["value"]["status"]) == status, name
        for parameter in parameters(document, operation):
            schema = {**parameter["schema"], "components": document["components"]}
            examples = parameter.get("examples") or {"": {"value": parameter.get("example")}}
            for example in examples.values():
                jsonschema.validate(example["value"], schema, jsonschema.Draft202012Validator)
    assert checked > 100


@pytest.mark.parametrize("type_", REQUESTS, ids=lambda type_: type_.__name__)
def test_request_examples_are_valid(type_: type) -> None:
    for example in REQUESTS[type_].values():
        parse(json.dumps(example).encode(), type_)


@pytest.mark.parametrize("type_", RESPONSES, ids=lambda type_: type_.__name__)
def test_response_examples_have_every_field_of_their_types(type_: type) -> None:
    for example in RESPONSES[type_].values():
        assert json.loads(msgspec.json.encode(msgspec.convert(example, type_))) == example


def test_the_example_of_an_explanation_adds_up() -> None:
    (example,) = RESPONSES[ROUTES["POST /score"].response].values()
    explained = example["results"][0]["scores"][0]["explanation"]
    parts = explained["base"] + sum(x["weight"] for x in explained["reasons"]) + explained["rest"]
    assert parts == pytest.approx(explained["margin"])


def test_request_examples_get_the_documented_responses(client: Http, engine: Engine, document: dict[str, Any]) -> None:
    lead, alert, described = put_lead(engine, "c-81"), put_alert(engine), operations(document)
    order = ["POST /items", "POST /signals", "POST /plays", "POST /events", "POST /score",
             "GET /leads", "POST /leads/claim",
             "GET /leads/stats", "GET /leads/{lead_id}", "GET /leads/{lead_id}/audit", "GET /reviews",
             "POST /leads/{lead_id}/extend",
             "POST /leads/{lead_id}/release",
             "POST /leads/{lead_id}/decision", "POST /decisions", "GET /models", "GET /types", "GET /harms",
             "GET /monitoring/metrics", "GET /monitoring/runs", "GET /monitoring/summary",
             "GET /monitoring/alerts", "GET /monitoring/alerts/{alert_id}",
             "POST /monitoring/alerts/{alert_id}/acknowledge",
             "POST /monitoring/silences", "GET /monitoring/silences",
             "DELETE /monitoring/silences/{silence_id}"]  # fmt: skip
    assert set(order) == set(ROUTES)
    # The silence is the one that the example makes.
    ids = {"lead_id": lead, "alert_id": alert, "silence_id": 1}
    for name in order:
        method, path = name.split()
        route, operation = ROUTES[name], described[name]
        bodies: list[Any] = [None]
        if route.body is not None:
            bodies = [x["value"] for x in operation["requestBody"]["content"][JSON]["examples"].values()]
        if name == "POST /leads/{lead_id}/decision":
            client.post("/v1/leads/claim", json={"reviewer": "rev-12"})
        for n, body in enumerate(bodies):
            if name == "POST /monitoring/silences":
                body = {**body, "until": clock.to_text(clock.now() + clock.DAY)}
            kwargs: dict[str, Any] = {} if body is None else {"json": body}
            if name == "GET /reviews":
                kwargs["params"] = {"reviewer": "rev-12"}
            answer = client.request(method, f"/v1{path.format(**ids)}", **kwargs)
            assert str(answer.status_code) in operation["responses"], (name, answer.text)
            if n == 0:
                assert answer.status_code == route.status, (name, answer.text)
                msgspec.convert(answer.json(), route.response)


def test_responses_have_the_shape_of_their_examples(client: Http, engine: Engine) -> None:
    lead = put_lead(engine, "c-81")
    client.post("/v1/items", json=REQUESTS[ROUTES["POST /items"].body or object]["A comment on a track"])
    scored = client.post("/v1/score", json=REQUESTS[ROUTES["POST /score"].body or object]["By id"]).json()
    shown = next(iter(RESPONSES[ROUTES["POST /score"].response].values()))
    assert shape(scored["results"][0]["scores"][0]["explanation"]) == shape(
        shown["results"][0]["scores"][0]["explanation"]
    )
    page = next(iter(RESPONSES[ROUTES["GET /leads"].response].values()))
    assert shape(client.get("/v1/leads").json()["leads"]) == shape(page["leads"])
    detail = next(iter(RESPONSES[ROUTES["GET /leads/{lead_id}"].response].values()))
    assert set(client.get(f"/v1/leads/{lead}").json()) == set(detail)
    models = next(iter(RESPONSES[ROUTES["GET /models"].response].values()))
    assert set(client.get("/v1/models").json()["models"][0]) == set(models["models"][0])


def test_problem_examples_match_the_real_problems(client: Http, document: dict[str, Any]) -> None:
    described = operations(document)

    def shown(name: str, status: int) -> list[tuple[str, list[object]]]:
        examples = described[name]["responses"][str(status)]["content"][PROBLEM]["examples"].values()
        return [(x["value"]["detail"].split(". ")[0].rstrip("."), x["value"]["errors"]) for x in examples]

    unknown = {"subjects": [{"id": "c-99", "typeId": "comment"}]}
    responses = [
        ("GET /models", 401, client.get("/v1/models", headers={"x-api-key": "ls_x"})),
        ("GET /leads/{lead_id}", 404, client.get("/v1/leads/l_x")),
        ("GET /leads", 422, client.get("/v1/leads", params={"cursor": "nope"})),
        ("GET /leads", 404, client.get("/v1/leads", params={"harm": "spma"})),
        ("POST /score", 404, client.post("/v1/score", json={**unknown, "harms": ["spma"]})),
        ("POST /leads/claim", 422, client.post("/v1/leads/claim", json={})),
        ("POST /items", 415, client.post("/v1/items", content=b"a", headers={"content-type": "text/csv"})),
        ("GET /leads/{lead_id}", 414, client.get(f"/v1/leads/{'x' * 9_000}")),
        ("GET /models", 431, client.get("/v1/models", headers={"x-long": "x" * 20_000})),
        ("POST /items", 413, client.post("/v1/items", content=b" " * 3_000_000)),
    ]
    for name, status, answer in responses:
        body = answer.json()
        assert answer.status_code == status, (name, body)
        assert (body["detail"].split(". ")[0].rstrip("."), body["errors"]) in shown(name, status), (name, body)
    nothing = client.post("/v1/score", json=unknown).json()["errors"]
    assert nothing[0]["pointer"] == "/subjects/0/id"


def test_the_example_cursor_is_valid(client: Http) -> None:
    assert client.get("/v1/leads", params={"cursor": CURSOR}).json() == {"leads": [], "nextCursor": None}
    assert client.get(f"/v1/leads/{LEAD_ID}").status_code == 404


@pytest.mark.slow
def test_the_document_of_all_routes_has_bentomls_too(document: dict[str, Any]) -> None:
    code = "import json; from serving.service import LeadServing as s; print(json.dumps(s.openapi_spec.asdict()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    of_bentoml = json.loads(done.stdout.splitlines()[-1])["paths"]
    whole = whole_document(document, "/v1")
    assert set(whole["paths"]) == set(of_bentoml)
    for path, item in document["paths"].items():
        assert whole["paths"][f"/v1{path}"] == item, path
    native = whole["paths"]["/score"]["post"]
    assert "scope `score`" in native["description"]
    assert native["responses"] == document["paths"]["/score"]["post"]["responses"]
    properties = of_bentoml["/score"]["post"]["requestBody"]["content"][JSON]["schema"]["properties"]
    assert set(properties) == set(whole["components"]["schemas"]["ScoreIn"]["properties"])
    assert {name: bool(x["example"] and x["description"]) for name, x in properties.items()} == {
        "subjects": True, "harms": True, "reasons": True,
    }  # fmt: skip
    parse(json.dumps({name: x["example"] for name, x in properties.items()}).encode(), ROUTES["POST /score"].body)

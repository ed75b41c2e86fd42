"""Problem documents for invalid query parameters and paths."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.engine import Engine

from leads.db import keys
from serving.http.openapi.examples import LEAD_ID
from tests.support.serving.route_world import (
    SECRET_TEXT,
    problem,
    put_lead,
)
from tests.support.serving.world import Http


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"limit": "x"}, 422), ({"limit": "0"}, 422), ({"limit": "201"}, 422), ({"state": "lost"}, 422),
        ({"typeId": "A b"}, 422), ({"typeId": "a\x00"}, 422), ({"harm": "nope"}, 404), ({"cursor": "nope"}, 422),
        ({"cursor": "x" * 600}, 422),
    ],
)  # fmt: skip
def test_bad_parameters_are_problems(client: Http, params: dict[str, str], status: int) -> None:
    found = problem(client.get("/v1/leads", params=params), status)
    assert [x["pointer"] for x in found["errors"]] == ["/" + next(iter(params))]
    assert found["type"] == f"urn:lead-serving:problem:{'not-found' if status == 404 else 'invalid-input'}"
    assert "^" not in json.dumps(found)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/leads", "This route has: cursor, harm, limit, state, typeId."),
        ("GET", f"/v1/leads/{LEAD_ID}", "This route has no query parameters."),
        ("GET", f"/v1/leads/{LEAD_ID}/audit", "This route has no query parameters."),
        ("GET", "/v1/reviews", "This route has: reviewer."),
        ("GET", "/v1/models", "This route has no query parameters."),
        ("POST", "/v1/score", "This route has no query parameters."),
        ("POST", "/v1/items", "This route has no query parameters."),
        ("POST", "/v1/leads/claim", "This route has no query parameters."),
        ("POST", "/v1/decisions", "This route has no query parameters."),
    ],
)
def test_unknown_parameters_are_problems(client: Http, method: str, path: str, allowed: str) -> None:
    sent = {"json": {}} if method == "POST" else {}
    found = problem(client.request(method, path, params={"harms": "spam", "typeid": ""}, **sent), 422)
    assert found["detail"] == f"Unknown query parameter 'harms'. In all, 2 parameters are wrong. {allowed}"
    assert [x["pointer"] for x in found["errors"]] == ["/harms", "/typeid"]


def test_the_name_of_an_unknown_parameter_is_repeated_only_if_it_is_a_name(client: Http) -> None:
    found = problem(client.get("/v1/models", params={SECRET_TEXT: "1"}), 422)
    assert (found["detail"], found["errors"]) == (
        "Unknown query parameter. This route has no query parameters.", []
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "name", "query"),
    [
        ("/v1/leads", "limit", "limit=2&limit=3"),
        ("/v1/leads", "limit", "limit=2&limit=2&harm=spam"),
        ("/v1/leads", "state", "state=open&state=open"),
        ("/v1/leads", "typeId", "typeId=a&%74ypeId=b"),
        ("/v1/leads", "cursor", "cursor=&cursor="),
        ("/v1/reviews", "reviewer", "reviewer=a&reviewer=b"),
    ],
)
def test_a_parameter_that_is_given_twice_is_a_problem(client: Http, path: str, name: str, query: str) -> None:
    found = problem(client.get(f"{path}?{query}"), 422)
    assert found["detail"] == f"Query parameter '{name}' is given more than once. Give it once."
    assert [x["pointer"] for x in found["errors"]] == [f"/{name}"]


def test_all_wrong_parameters_are_named_at_once(client: Http) -> None:
    found = problem(client.get("/v1/leads?state=open&page=1&limit=2&state=open&limit=3&page=2"), 422)
    assert [x["pointer"] for x in found["errors"]] == ["/page", "/limit", "/state"]


def test_harms_may_be_repeated(client: Http) -> None:
    assert client.get("/v1/leads?harm=spam&harm=spam&limit=2").status_code == 200


def test_pages_ignore_parameters(client: Http) -> None:
    for path in ("/v1/openapi.json", "/livez"):
        assert client.get(path, params={"v": "2"}).status_code == 200, path


def test_parameters_that_no_database_can_store_are_refused(client: Http, engine: Engine) -> None:
    lead, asked = put_lead(engine), 0
    admin = {"x-api-key": keys.create(engine, "all", ["admin"], reviewer="rev-12").text}
    for path, methods in client.get("/v1/openapi.json").json()["paths"].items():
        for parameter in methods.get("get", {}).get("parameters", ()):
            for sent in ("%00", "a%00", "%0A", "%ED%A0%80", "%FF"):
                if parameter["in"] == "path":
                    answer = client.get(f"/v1{path.format(**{parameter['name']: sent})}", headers=admin)
                else:
                    answer = client.get(f"/v1{path.format(lead_id=lead)}?{parameter['name']}={sent}", headers=admin)
                # A byte that isn't UTF-8 arrives as U+FFFD, which a reviewer's name may contain.
                allowed = {404, 422} if sent in ("%00", "a%00", "%0A") else {200, 404, 422}
                assert answer.status_code in allowed, (path, parameter["name"], sent, answer.text)
                asked += 1
    assert asked >= 40


def test_unknown_routes_and_methods(client: Http) -> None:
    problem(client.get("/v1/nope"), 404)
    problem(client.get("/nope"), 404)
    found = client.request("DELETE", "/v1/score")
    problem(found, 405)
    assert found.headers["allow"] == "POST"
    problem(client.get("/v1/leads/%00"), 404)

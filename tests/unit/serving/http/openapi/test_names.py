"""The names in the OpenAPI document, which generated clients are made of: changing one breaks their users' code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from leads.db import keys
from leads.db.keys import SCOPES
from leads_client.version import VERSION
from serving.http.openapi.introduction import INTRODUCTION
from serving.runtime import Runtime
from tests.support.paths import REPOSITORY
from tests.support.serving.world import Http, make_stack

pytestmark = pytest.mark.slow

NAMES = REPOSITORY / "tests" / "unit" / "serving" / "http" / "openapi" / "names.txt"


@pytest.fixture
def document(runtime: Runtime) -> Iterator[dict[str, Any]]:
    key = keys.create(runtime.engine, "x", ["score"]).text
    with start_blocking_portal() as portal:
        yield Http(make_stack(runtime), portal, headers={"x-api-key": key}).get("/v1/openapi.json").json()


def named(node: dict[str, Any]) -> str:
    """The schema of a body."""
    found: str = node["content"]["application/json"]["schema"]["$ref"]
    return found.rpartition("/")[2]


def described(document: dict[str, Any]) -> Iterator[str]:
    """Operations, then the fields of each schema; an optional field ends with a question mark."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            body = named(operation["requestBody"]) + " " if "requestBody" in operation else ""
            (status,) = [status for status in operation["responses"] if status.startswith("2")]
            response = named(operation["responses"][status])
            given = [one.get("name", one.get("$ref", "").rpartition("/")[2]) for one in operation.get("parameters", [])]
            parameters = f" ({', '.join(given)})" if given else ""
            (tag,) = operation["tags"]
            request = f"{method.upper()} {path}{parameters} {body}"
            yield f"{operation['operationId']} [{tag}]: {request}-> {status} {response}"
    for name, schema in document["components"]["schemas"].items():
        required = schema.get("required", [])
        fields = [field if field in required else f"{field}?" for field in schema.get("properties", {})]
        values = [*schema.get("enum", []), *(one["$ref"].rpartition("/")[2] for one in schema.get("anyOf", []))]
        yield f"{name}: {', '.join(fields) or ' | '.join(values)}"


def test_names_are_those_that_users_have_in_their_code(document: dict[str, Any]) -> None:
    """If you changed the API on purpose, write what this test found into names.txt.

    A name that goes, and a field that a response no longer has or that a request now requires, break users' code.
    """
    assert list(described(document)) == NAMES.read_text(encoding="utf-8").splitlines()


def test_the_document_introduces_the_api(document: dict[str, Any]) -> None:
    info = document["info"]
    assert (document["openapi"], info["version"]) == ("3.1.0", VERSION)
    assert info["description"] == INTRODUCTION
    assert all(f"`{scope}`" in INTRODUCTION for scope in SCOPES)
    assert "1,000 entries and 2 MiB" in INTRODUCTION
    assert [server["url"] for server in document["servers"]] == ["/v1"]
    assert set(document["components"]["securitySchemes"]) == {"key", "bearer"}

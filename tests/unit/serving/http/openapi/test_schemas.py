"""The named schemas: how generators of clients see the structs of requests and responses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from leads.api.declared import Declared
from leads.platform.declaration import Platform
from leads_client.fields import Verdict
from leads_client.schemas.base import In, Instant, Out, one_of
from serving.http.openapi.assembly import api_document, whole_document
from serving.http.openapi.item_types import with_types
from serving.http.openapi.route_docs import ROUTES
from serving.http.openapi.schemas import choices, named_schemas, with_named_choices
from tests.support.declared import DECLARED


class CaseIn(In, frozen=True):
    """A case, with its `first_seen`.

    Its `aging_hours` is a setting.

    Args:
        first_seen: when it was
            seen first.
        n, more: numbers.
    """

    first_seen: Instant | None = None
    n: int = 1
    more: tuple[int, ...] = ()


class CaseOut(Out, frozen=True):
    verdict: Annotated[str, one_of(Verdict)] | None = None
    n: int = 1


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    found = api_document({"paths": {}}, DECLARED, "/v1")["components"]["schemas"]
    assert len(found) > 50
    return dict(found)


def properties(schemas: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for struct, schema in schemas.items():
        for name, one in schema.get("properties", {}).items():
            yield struct, name, one


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(part)


def test_a_struct_of_a_request() -> None:
    (case,) = named_schemas([CaseIn]).values()
    assert case["description"] == "A case, with its `firstSeen`.\n\nIts `aging_hours` is a setting."
    assert "required" not in case
    assert case["properties"] == {
        "firstSeen": {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}],
            "description": "When it was seen first.",
        },
        "n": {"type": "integer", "default": 1, "description": "Numbers."},
        "more": {"type": "array", "items": {"type": "integer"}, "description": "Numbers."},
    }


def test_a_response_has_all_of_its_fields() -> None:
    (case,) = named_schemas([CaseOut]).values()
    assert case["required"] == ["verdict", "n"]
    assert case["properties"] == {
        "verdict": {"anyOf": [{"$ref": "#/components/schemas/Verdict"}, {"type": "null"}]},
        "n": {"type": "integer"},
    }


def test_choices_are_referred_to_by_name() -> None:
    assert choices()["Verdict"]["enum"] == ["violating", "not_violating", "escalate"]
    reference = {"$ref": "#/components/schemas/DecidedBy"}
    found = {"enum": ["human", "automation"], "type": "string", "title": "By"}
    assert with_named_choices({"items": [found]}) == {"items": [reference]}
    assert with_named_choices({**found, "default": "human"}) == {"allOf": [reference], "default": "human"}
    assert with_named_choices({"enum": ["a", "b"]}) == {"enum": ["a", "b"]}


def test_every_struct_has_one_name_and_a_description(schemas: dict[str, Any]) -> None:
    for name, schema in schemas.items():
        assert re.fullmatch(r"[A-Z][A-Za-z0-9]+", name)
        assert schema.get("title", name) == name
        assert schema["description"], name
        # Generators would make a class of a nested object, with a name that they invent.
        for part in nodes(schema.get("properties", {})):
            assert "properties" not in part or part is schema["properties"], name


def test_every_reference_can_be_followed(schemas: dict[str, Any]) -> None:
    references = [node["$ref"].rpartition("/")[2] for node in nodes(schemas) if isinstance(node.get("$ref"), str)]
    assert len(references) > 60
    assert set(references) <= set(schemas)


def test_times_are_times(schemas: dict[str, Any]) -> None:
    times = re.compile(r"at|.*(At|Until)")
    found = [(struct, name, one) for struct, name, one in properties(schemas) if times.fullmatch(name)]
    assert len(found) >= 15
    for struct, name, one in found:
        formats = {part.get("format") for part in nodes(one) if part.get("type") == "string"}
        assert formats == {"date-time"}, (struct, name)


def test_no_default_is_null_or_an_object(schemas: dict[str, Any]) -> None:
    for struct, name, one in properties(schemas):
        assert one.get("default", "") not in (None, {}, []), (struct, name)


def test_a_type_named_like_a_schema_gets_another_name() -> None:
    fields = {"title": {"kind": "text"}}
    types = {name: {"title": name, "fields": fields} for name in ("item", "event", "a_b", "ab", "account")}
    kinds = {"a": {"title": "A"}, "ab": {"title": "AB", "fields": {"size": {"kind": "number", "required": True}}}}
    platform = Platform.model_validate({"version": 1, "types": types, "events": kinds})
    found = with_types({name: {"properties": {"data": {"description": "d"}}}
                        for name in ("SubjectIn", "ItemIn", "EventIn")}, Declared(platform))  # fmt: skip
    names = ["AnyItemData", "ItemData2", "EventData2", "ABData", "AbData2", "AccountData"]
    assert [one["$ref"].rpartition("/")[2] for one in found["ItemData"]["anyOf"]] == names
    assert [one["$ref"].rpartition("/")[2] for one in found["EventData"]["anyOf"]] == [
        "AnyEventData", "AEventData", "AbEventData",
    ]  # fmt: skip
    assert found["AbEventData"]["required"] == ["size"]
    assert all(found[name]["title"] == name for name in names)


def test_the_first_alternative_has_the_fields_of_them_all() -> None:
    """Clients that take the first alternative which fits would drop fields that it doesn't have."""
    types = {
        "account": {"title": "Account"},
        "song": {"title": "Song", "fields": {"size": {"kind": "number", "required": True}, "lyrics": {"kind": "text"}}},
        "shop": {"title": "Shop", "unknown_fields": "keep", "fields": {"size": {"kind": "category", "values": ["s"]}}},
    }
    for given, strict in ((types, False), ({x: types[x] for x in ("account", "song")}, True)):
        platform = Platform.model_validate({"version": 1, "types": given})
        found = api_document({"paths": {}}, Declared(platform), "/v1")["components"]["schemas"]
        first, every = found["ItemData"]["anyOf"][0], found["AnyItemData"]
        assert first["$ref"].endswith("/AnyItemData")
        assert set(every["properties"]) == {"accountId", "parent", "size", "lyrics"}
        assert "required" not in every
        assert every.get("additionalProperties") is (False if strict else None)
        # Nothing is known of a field whose kind differs.
        assert ("anyOf" in every["properties"]["size"]) is strict


def test_a_platform_without_events() -> None:
    platform = Platform.model_validate({"version": 1, "types": {"account": {"title": "Account"}}})
    found = api_document({"paths": {}}, Declared(platform), "/v1")["components"]["schemas"]
    assert found["EventData"] == {"type": "object", "description": "The fields of an event, by its kind."}


def test_the_document_of_all_routes_has_every_schema(schemas: dict[str, Any]) -> None:
    api = api_document({"paths": {}}, DECLARED, "/v1")
    api["paths"] = {"/score": {"post": {"operationId": ROUTES["POST /score"].id}}}
    whole = whole_document(api, "/v1")
    assert set(whole["components"]["schemas"]) == {*schemas, "Health"}
    ids = [operation["operationId"] for item in whole["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids)) == 6

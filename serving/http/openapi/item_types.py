"""The declared types of items and kinds of events, as the API and its OpenAPI document describe them."""

from __future__ import annotations

from typing import Any

import msgspec

from leads.api.declared import Declared
from leads.api.json_schema import schema
from leads.platform.declaration import EventKind, Fielded, ItemType
from leads_client.fields import json_name
from leads_client.schemas.types import FieldOut, KindOut, TypeOut, TypesOut

# Where requests hold the `data` of items, in the schemas of their bodies.
_WITH_DATA = {"/score": "subjects", "/items": "items", "/events": "events"}


def types_out(declared: Declared) -> TypesOut:
    """Every type and kind, in the order of platform.yaml."""
    platform = declared.platform
    return TypesOut(
        types=tuple(_type_out(declared, name, type_) for name, type_ in platform.types.items()),
        events=tuple(_kind_out(declared, name, kind) for name, kind in platform.events.items()),
    )


def with_types(document: dict[str, Any], declared: Declared, *, root: str = "") -> dict[str, Any]:
    """Describe the content of each type and kind in an OpenAPI document whose schemas are inlined.

    Args:
        root: what the paths of the API begin with in the document.
    """
    platform = declared.platform
    items = [{**schema(declared.schema_type(name)), "title": type_.title} for name, type_ in platform.types.items()]
    events = [{**schema(declared.schema_kind(name)), "title": kind.title} for name, kind in platform.events.items()]
    for path, entries in _WITH_DATA.items():
        body = document["paths"][f"{root}{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        data = body["properties"][entries]["items"]["properties"]["data"]
        content = events if entries == "events" else items
        data.update(type="object", **({"anyOf": content} if content else {}))
    return document


def _type_out(declared: Declared, name: str, type_: ItemType) -> TypeOut:
    return TypeOut(
        type_id=name,
        title=type_.title,
        parents=type_.parents,
        fields=_fields(type_),
        schema=_schema(declared.schema_type(name), type_),
    )


def _kind_out(declared: Declared, name: str, kind: EventKind) -> KindOut:
    return KindOut(
        kind=name,
        title=kind.title,
        about=kind.about,
        by_required=kind.by == "required",
        fields=_fields(kind),
        schema=_schema(declared.schema_kind(name), kind),
    )


def _fields(fielded: Fielded) -> tuple[FieldOut, ...]:
    return tuple(
        FieldOut(
            name=json_name(field),
            kind=one.kind,
            title=fielded.title_of(field),
            required=one.required,
            judged=one.judged,
            shown=one.shown,
            blur=one.blur,
            personal=one.personal,
            unit=one.unit,
            values=one.values,
        )
        for field, one in fielded.fields.items()
    )


def _schema(data: type[msgspec.Struct], fielded: Fielded) -> dict[str, Any]:
    required = [json_name(field) for field, one in fielded.fields.items() if one.required]
    described: dict[str, Any] = schema(data)
    return {**described, "required": required} if required else described

"""The declared types of items, as the API and its OpenAPI document describe them."""

from __future__ import annotations

from typing import Any

from leads.api.item_data import ItemReader
from leads.api.json_schema import schema
from leads.platform.declaration import ItemType
from leads_client.fields import json_name
from leads_client.schemas.types import FieldOut, TypeOut, TypesOut

# Where requests hold the `data` of items, in the schemas of their bodies.
_WITH_DATA = {"/score": "subjects", "/items": "items"}


def types_out(items: ItemReader) -> TypesOut:
    """Every type, in the order of platform.yaml."""
    return TypesOut(types=tuple(_type_out(items, name, type_) for name, type_ in items.platform.types.items()))


def with_types(document: dict[str, Any], items: ItemReader, *, root: str = "") -> dict[str, Any]:
    """Describe the content of each type in an OpenAPI document whose schemas are inlined.

    Args:
        root: what the paths of the API begin with in the document.
    """
    types = items.platform.types
    content = [{**schema(items.schema_type(name)), "title": type_.title} for name, type_ in types.items()]
    for path, entries in _WITH_DATA.items():
        body = document["paths"][f"{root}{path}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        data = body["properties"][entries]["items"]["properties"]["data"]
        data.update(type="object", anyOf=content)
    return document


def _type_out(items: ItemReader, name: str, type_: ItemType) -> TypeOut:
    fields = tuple(
        FieldOut(
            name=json_name(field),
            kind=one.kind,
            title=type_.title_of(field),
            required=one.required,
            judged=one.judged,
            shown=one.shown,
            blur=one.blur,
            personal=one.personal,
            unit=one.unit,
            values=one.values,
        )
        for field, one in type_.fields.items()
    )
    described = schema(items.schema_type(name))
    required = [json_name(field) for field, one in type_.fields.items() if one.required]
    return TypeOut(
        type_id=name,
        title=type_.title,
        parents=type_.parents,
        fields=fields,
        schema={**described, "required": required} if required else described,
    )

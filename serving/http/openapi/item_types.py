"""The declared types of items and kinds of events, as the API and its OpenAPI document describe them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, count
from typing import Any

import msgspec

from leads.api.declared import Declared
from leads.api.json_schema import schema
from leads.platform.fielded import EventKind, Fielded, ItemType
from leads_client.fields import json_name
from leads_client.schemas.types import FieldOut, KindOut, TypeOut, TypesOut
from serving.http.openapi.schemas import Schema, named_schemas, ref

# Schemas that contain the `data` of an item or event, and the schema of that.
_ITEM, _EVENT = "ItemData", "EventData"
# Schemas with the fields of every type or kind, which generated clients read any `data` as.
_ANY_ITEM, _ANY_EVENT = f"Any{_ITEM}", f"Any{_EVENT}"
_WITH_DATA = {"SubjectIn": _ITEM, "ItemIn": _ITEM, "EventIn": _EVENT}


def types_out(declared: Declared) -> TypesOut:
    """Every type and kind, in the order of platform.yaml."""
    platform = declared.platform
    return TypesOut(
        types=tuple(_type_out(declared, name, type_) for name, type_ in platform.types.items()),
        events=tuple(_kind_out(declared, name, kind) for name, kind in platform.events.items()),
    )


def with_types(schemas: Mapping[str, Schema], declared: Declared) -> dict[str, Schema]:
    """Named schemas of an OpenAPI document, with those of each declared type's and kind's `data`."""
    taken = {name.lower() for name in (*schemas, _ITEM, _EVENT, _ANY_ITEM, _ANY_EVENT)}
    items, events = {}, {}
    for name, type_ in declared.platform.types.items():
        data = _named_data(declared.schema_type(name), f"An item of type `{name}`: {type_.title}.")
        items[_free(name, "Data", taken)] = data
    for name, kind in declared.platform.events.items():
        data = _named_data(declared.schema_kind(name), f"An event of kind `{name}`: {kind.title}.")
        events[_free(name, "EventData", taken)] = {**data, **_required(kind)}
    found = {**schemas, **{name: {**data, "title": name} for name, data in (*items.items(), *events.items())}}
    found |= _union(_ITEM, _ANY_ITEM, items, "The content of an item, by its type.")
    found |= _union(_EVENT, _ANY_EVENT, events, "The fields of an event, by its kind.")
    for name, of in _WITH_DATA.items():
        properties = found[name]["properties"]
        described = {**ref(of), "description": properties["data"]["description"]}
        found[name] = {**found[name], "properties": {**properties, "data": described}}
    return found


def _free(name: str, suffix: str, taken: set[str]) -> str:
    """A name for the schema of a type or kind, which may have been called `item`, or the same up to underscores."""
    wanted = "".join(map(str.capitalize, name.split("_"))) + suffix
    free = next(one for one in chain([wanted], (f"{wanted}{n}" for n in count(2))) if one.lower() not in taken)
    taken.add(free.lower())
    return free


def _named_data(data: type[msgspec.Struct], about: str) -> Schema:
    # A `Ref` that it contains is among the document's schemas already.
    return {**named_schemas([data])[data.__name__], "description": about}


def _union(name: str, every: str, alternatives: Mapping[str, Schema], about: str) -> dict[str, Schema]:
    """The schema of any of the alternatives.

    A generated client that reads a union takes the first alternative that fits and drops the fields which that one
    doesn't declare. So if there are several, one with the fields of them all comes first.
    """
    if len(alternatives) < 2:
        return {name: _any_of(alternatives, about)}
    properties: dict[str, Schema] = {}
    for alternative in alternatives.values():
        for field, one in alternative.get("properties", {}).items():
            known = properties.setdefault(field, one)
            if _plain(known) != _plain(one):
                # Not the same in every alternative: any value.
                properties[field] = {"description": "Its values depend on the type or kind."}
    strict = all(one.get("additionalProperties") is False for one in alternatives.values())
    merged: Schema = {
        "title": every,
        "description": f"{about.partition(',')[0]}, with the fields of all of them: what generated clients read it as.",
        "type": "object",
        "properties": properties,
        **({"additionalProperties": False} if strict else {}),
    }
    return {name: _any_of((every, *alternatives), about), every: merged}


def _plain(schema: Schema) -> Schema:
    return {key: part for key, part in schema.items() if key not in ("title", "description")}


def _any_of(alternatives: Iterable[str], about: str) -> Schema:
    found = [ref(name) for name in alternatives]
    return {"anyOf": found, "description": about} if found else {"type": "object", "description": about}


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
    return {**schema(data), **_required(fielded)}


def _required(fielded: Fielded) -> dict[str, list[str]]:
    required = [json_name(field) for field, one in fielded.fields.items() if one.required]
    return {"required": required} if required else {}

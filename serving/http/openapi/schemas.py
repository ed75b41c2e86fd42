"""The named schemas of the OpenAPI document, made from the structs of requests and responses.

They are for generators of clients: a class per struct and per set of values, with the same names as in `leads_client`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, get_args

import msgspec

from leads_client.fields import DecidedBy, LeadState, SignalKind, Tier, Verdict, json_name
from leads_client.schemas.alerts import AlertFilter, AlertState, RetrainingState, Severity
from leads_client.schemas.base import Out
from leads_client.schemas.leads import StateFilter

Schema = dict[str, Any]
_REF = "#/components/schemas/{name}"


class _Choice(NamedTuple):
    """A set of values with a name of its own. `values` is a `Literal`."""

    values: Any
    description: str


_CHOICES = {
    "AlertFilter": _Choice(AlertFilter, "A state of alerts; `open` for those that aren't resolved, `any` for all."),
    "AlertState": _Choice(AlertState, "`acknowledged` after somebody said that they look after the alert."),
    "DecidedBy": _Choice(DecidedBy, "Who decided."),
    "LeadState": _Choice(LeadState, "Where a lead is in the queue."),
    "RetrainingState": _Choice(RetrainingState, "`skipped` if another alert retrains the harm already."),
    "Severity": _Choice(Severity, "How an alert is sent: `page` at once, `digest` once a day."),
    "SignalKind": _Choice(SignalKind, "What kind of signal it is. `classifier` is another classifier's score."),
    "StateFilter": _Choice(StateFilter, "A state of leads; `any` for all states."),
    "Tier": _Choice(Tier, "What to do with a score: decide automatically, have it reviewed, or nothing."),
    "Verdict": _Choice(Verdict, "A reviewer's decision. `escalate` passes the lead on without a verdict."),
}
_NAMES = {frozenset(get_args(choice.values)): name for name, choice in _CHOICES.items()}
# A line of a docstring's `Args:` and the lines that continue it.
_ARGUMENT = re.compile(r"^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)", re.MULTILINE)
_QUOTED = re.compile(r"`([a-z]+(?:_[a-z0-9]+)+)`")
_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")


def ref(name: str) -> Schema:
    """A reference to a named schema."""
    return {"$ref": _REF.format(name=name)}


def named_schemas(structs: Iterable[type[msgspec.Struct]]) -> dict[str, Schema]:
    """The schemas of these structs and of all that they contain, by name, which refer to each other."""
    found = msgspec.json.schema_components(structs, ref_template=_REF)[1]
    sent = {struct.__name__ for struct in _subclasses(Out)}
    return {name: _tidied(schema, sent_whole=name in sent) for name, schema in found.items()}


def choices() -> dict[str, Schema]:
    """The schemas of named sets of values."""
    return {
        name: {"type": "string", "enum": list(get_args(choice.values)), "description": choice.description}
        for name, choice in _CHOICES.items()
    }


def with_named_choices(node: Any) -> Any:
    """The same schema, with references instead of sets of values that have a name."""
    if isinstance(node, list):
        return [with_named_choices(part) for part in node]
    if not isinstance(node, dict):
        return node
    values = node.get("enum")
    name = _NAMES.get(frozenset(values)) if isinstance(values, list) else None
    if name is None:
        return {key: with_named_choices(part) for key, part in node.items()}
    others = {key: part for key, part in node.items() if key not in ("enum", "type", "title")}
    # Generators overlook a default beside `$ref`.
    return {"allOf": [ref(name)], **others} if "default" in others else {**ref(name), **others}


def _tidied(schema: Schema, *, sent_whole: bool) -> Schema:
    """A struct's schema for the document.

    Args:
        sent_whole: a response, which has all of its fields. That some have a default is for clients that read the
            responses of an older service.
    """
    properties = {name: _tidied_property(found) for name, found in schema.get("properties", {}).items()}
    tidied: Schema = {**schema, "properties": properties}
    if sent_whole:
        tidied["required"] = list(properties)
        for found in properties.values():
            found.pop("default", None)
    elif not tidied.get("required"):
        tidied.pop("required", None)
    _describe(tidied)
    named: Schema = with_named_choices(tidied)
    return named


def _tidied_property(schema: Schema) -> Schema:
    """Without defaults that generators reject or misread, and described as a whole instead of by one alternative."""
    tidied = {**schema, "anyOf": [dict(one) for one in schema["anyOf"]]} if "anyOf" in schema else dict(schema)
    for alternative in tidied.get("anyOf", ()):
        for key in ("description", "examples"):
            if key in alternative:
                tidied.setdefault(key, alternative.pop(key))
    if tidied.get("default", "") in (None, {}, (), []):
        del tidied["default"]
    return tidied


def _describe(schema: Schema) -> None:
    """Split a docstring: its text describes the struct, its `Args` the fields. Names become those in JSON."""
    properties: dict[str, Schema] = schema["properties"]
    text, _, arguments = inspect.cleandoc(schema.get("description", "")).partition("\n\nArgs:\n")
    for names, about in _ARGUMENT.findall(arguments):
        for name in names.split(", "):
            sentence = " ".join(about.split())
            # Most structs are sent in camel case. What load balancers read from `/readyz` isn't.
            found = properties.get(json_name(name)) or properties[name]
            found.setdefault("description", sentence[:1].upper() + sentence[1:])
    if text:
        schema["description"] = _LINE_BREAK.sub(" ", text)
    for described in (schema, *properties.values()):
        if "description" in described:
            described["description"] = _QUOTED.sub(lambda x: _in_json(x, properties), described["description"])


def _in_json(found: re.Match[str], properties: dict[str, Schema]) -> str:
    name = json_name(found[1])
    return f"`{name}`" if name in properties else found[0]


def _subclasses(base: type) -> Iterator[type]:
    found: list[type] = base.__subclasses__()
    for one in found:
        yield one
        yield from _subclasses(one)

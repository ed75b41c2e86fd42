"""Says in plain words what msgspec found wrong with some JSON, and what is allowed there.

Messages never quote the input: it may be what somebody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from leads.errors import InvalidInput
from leads.messages.patterns import allowed_by
from leads.messages.wording import counted

# Messages of msgspec that quote the input, and the quotes that are safe to show.
_QUOTING = re.compile(r"(Object contains unknown field |Invalid enum value |Invalid value )(.*)", re.DOTALL)
_SAFE = re.compile(r"[`'][A-Za-z0-9_]{1,40}[`']")
_PATTERN = re.compile(r"Expected `str` matching regex (.*)", re.DOTALL)
_LENGTH = re.compile(r"Expected `(str|array)` of length (<=|>=) (\d+)")
_TYPE = re.compile(r"Expected `([a-z| ]+)`(?: (>=|<=|>|<) ([-+.e0-9]+)|, got `([a-z]+)`)?")
_BOUNDS = {">=": "of at least", "<=": "of at most", ">": "above", "<": "below"}
# msgspec's names of JSON's types.
_IN_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
# What an object has that it mustn't have, or lacks: the error is about that field.
_OF_FIELD = re.compile(r"Object (?:contains unknown|missing required) field `([A-Za-z0-9_]{1,40})`")
_STEP = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")


class Place(NamedTuple):
    """A place in a document: its JSON pointer, None for the whole document; and the types that are allowed there."""

    pointer: str | None
    types: tuple[inspect.Type, ...]


def explained(error: msgspec.ValidationError, type_: Any) -> InvalidInput:
    """The error as ours, with a JSON pointer.

    Args:
        type_: the type of the whole document.
    """
    text = str(error)
    message, _, path = text.rpartition(" - at `$") if " - at `$" in text else (text, "", "")
    place = _place(type_, path.rstrip("`"))
    pointer = place.pointer
    if found := _OF_FIELD.fullmatch(message):
        pointer = f"{pointer or ''}/{found[1]}"
    message, remedy = _plain(message, place)
    return InvalidInput(f"{message}.", field=pointer, remedy=remedy and f"{remedy}.")


def _plain(message: str, place: Place) -> tuple[str, str | None]:
    """What is wrong, and what is allowed, without full stops."""
    if found := _PATTERN.match(message):
        # msgspec quotes the pattern as Python would.
        patterns = [x.pattern for x in place.types if isinstance(x, inspect.StrType) and x.pattern is not None]
        known = [pattern for pattern in patterns if repr(pattern) == found[1]]
        return "Contains characters that are not allowed", allowed_by(known[0]) if known else None
    if found := _LENGTH.match(message):
        return _length(found[1], found[2], int(found[3])), None
    if found := _TYPE.fullmatch(message):
        return _expected(found[1].split(" | "), found[2], found[3], found[4]), None
    found = _QUOTING.match(message)
    if found is None:
        return message, None
    safe = message if _SAFE.fullmatch(found[2]) else f"{found[1]}…"
    allowed = sorted(_fields(place)) if found[1].startswith("Object") else list(_values(place))
    if not allowed:
        return safe, None
    return safe, f"{'Its fields are' if found[1].startswith('Object') else 'Use one of'}: {', '.join(allowed)}"


def _length(kind: str, bound: str, n: int) -> str:
    n_units = counted(n, "character") if kind == "str" else counted(n, "entry", "entries")
    return f"Expected at {'most' if bound == '<=' else 'least'} {n_units}"


def _expected(types: Sequence[str], sign: str | None, bound: str | None, got: str | None) -> str:
    # null stands for an absent value.
    wanted = [_IN_WORDS.get(one, one) for one in types if one != "null"] or ["null"]
    said = f"Expected {' or '.join(wanted)}"
    if sign is not None and bound is not None:
        said += f" {_BOUNDS[sign]} {float(bound):,.15g}"
    if got is None:
        return said
    return f"{said}, got {_IN_WORDS['float'] if got == 'int' else _IN_WORDS.get(got, got)}"


def _fields(place: Place) -> Iterator[str]:
    for found in place.types:
        if isinstance(found, inspect.StructType):
            yield from (field.encode_name for field in found.fields)


def _values(place: Place) -> Iterator[str]:
    """The values of an enumeration, or the tags of the objects that are allowed."""
    for found in place.types:
        if isinstance(found, inspect.LiteralType):
            yield from map(str, found.values)


@cache
def _described(type_: Any) -> inspect.Type:
    return inspect.type_info(type_)


def _place(type_: Any, path: str) -> Place:
    """Where a path like `.signals[0].kind` leads."""
    types, pointer = _alternatives(_described(type_)), ""
    for step in _STEP.finditer(path):
        name = step[1]
        pointer += f"/{name}" if name is not None else f"/{step[0][1:-1]}"
        types = tuple(inner for outer in types for inner in _inside(outer, name))
    return Place(pointer or None, types)


def _alternatives(found: inspect.Type) -> tuple[inspect.Type, ...]:
    """The types of a union, without annotations."""
    if isinstance(found, inspect.Metadata):
        return _alternatives(found.type)
    if isinstance(found, inspect.UnionType):
        return tuple(inner for one in found.types for inner in _alternatives(one))
    return (found,)


def _inside(outer: inspect.Type, name: str | None) -> Iterator[inspect.Type]:
    """The types of a field, or of the entries of a list."""
    if isinstance(outer, inspect.StructType):
        if name is not None and name == outer.tag_field:
            yield inspect.LiteralType((outer.tag,))
        for field in outer.fields:
            if field.encode_name == name:
                yield from _alternatives(field.type)
    elif isinstance(outer, inspect.VarTupleType | inspect.ListType) and name is None:
        yield from _alternatives(outer.item_type)

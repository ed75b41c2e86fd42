"""Reads `data`: the values of the fields that a type of items or a kind of events declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from leads.api.requests import instant
from leads.errors import MAX_FAULTS, InvalidInput, moved
from leads.events import FieldValue, decode
from leads.messages import patterns
from leads.messages.wording import counted
from leads.platform.fielded import Fielded
from leads.platform.fields import Field, Kind
from leads_client.fields import json_name
from leads_client.schemas.base import In

_MAX_UNKNOWN, _MAX_UNKNOWN_BYTES = 100, 16_384
_PATTERNS: Mapping[Kind, str] = {"url": patterns.URL, "language": patterns.LANGUAGE}
# The name of an entry beside the declared fields, its type, and its default.
Extra = tuple[str, Any, Any]


class Data(NamedTuple):
    """What a `data` holds.

    Args:
        given: the whole object, for what it has beside the fields.
        values: of the declared fields, by name; absent ones are left out.
        unknown: what it has beyond the declared fields, if that is kept.
    """

    given: Any
    values: dict[str, FieldValue]
    unknown: dict[str, Raw]


class FieldsReader:
    """Reads one type's or kind's `data`.

    Args:
        name: of the type or kind.
        extra: what `data` may have beside the declared fields.
    """

    def __init__(self, name: str, declared: Fielded, extra: Sequence[Extra] = ()) -> None:
        self.declared = declared
        self.data = _struct(name, declared, extra)
        self._decoder = msgspec.json.Decoder(self.data)
        self._known = {json_name(field) for field in (*declared.fields, *(one for one, _, _ in extra))}
        self._times = [field for field, one in declared.fields.items() if one.kind == "time"]

    def read(self, data: Raw | UnsetType) -> Data:
        """Raises InvalidInput with the JSON pointer of each field that is wrong: `/data/title`."""
        raw = b"{}" if data is UNSET else bytes(data)
        try:
            found: Any = decode(self._decoder, raw)
        except InvalidInput as error:
            raise moved(_joined([*self._wrong(raw)] or [error]), lambda field: f"/data{field}") from error
        given = ((name, getattr(found, name)) for name in self.declared.fields)
        values = {name: value for name, value in given if value is not None}
        for name in self._times:
            if name in values:
                values[name] = instant(values[name], 0, field=f"/data/{json_name(name)}")
        unknown = dict(self._unknown(raw)) if self.declared.unknown_fields == "keep" else {}
        return Data(found, values, unknown)

    def check_whole(self, values: Mapping[str, FieldValue]) -> None:
        """Raises InvalidInput if required fields are missing or empty."""
        missing = [
            InvalidInput(
                f"{self.declared.title_of(name)} is missing.",
                field=f"/data/{json_name(name)}",
                remedy=f"platform.yaml requires it for {self.declared.title!r}.",
            )
            for name, field in self.declared.fields.items()
            if field.required and values.get(name, "") == ""
        ]
        if missing:
            raise _joined(missing)

    def _wrong(self, raw: bytes) -> Iterator[InvalidInput]:
        """What is wrong with each field by itself. The decoder stops at the first."""
        try:
            every = msgspec.json.decode(raw, type=dict[str, Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        for name, value in every.items():
            try:
                decode(self._decoder, msgspec.json.encode({name: value}))
            except InvalidInput as error:
                yield error

    def _unknown(self, raw: bytes) -> Iterator[tuple[str, Raw]]:
        every = msgspec.json.decode(raw, type=dict[str, Raw])
        found = {name: value for name, value in every.items() if name not in self._known}
        size = sum(len(name) + len(bytes(value)) for name, value in found.items())
        if len(found) > _MAX_UNKNOWN or size > _MAX_UNKNOWN_BYTES:
            raise InvalidInput(
                f"platform.yaml doesn't declare {counted(len(found), 'field')}, which have {counted(size, 'byte')}.",
                field="/data",
                remedy=f"Send at most {_MAX_UNKNOWN} with {_MAX_UNKNOWN_BYTES:,} bytes, or declare them.",
            )
        return ((name, Raw(bytes(value))) for name, value in found.items())


def _joined(errors: Sequence[InvalidInput]) -> InvalidInput:
    """One error that says what the first says, and has all their places. It doesn't say how many there are: callers do
    that for entries and lines, which may have several."""
    first = errors[0]
    faults = [fault for error in errors for fault in error.faults][:MAX_FAULTS]
    return InvalidInput(first.message, field=first.field, remedy=first.remedy, faults=faults)


def _struct(name: str, declared: Fielded, extra: Sequence[Extra]) -> type[msgspec.Struct]:
    fields = [
        (field, Annotated[_annotation(one) | None, Meta(title=declared.title_of(field))], None)
        for field, one in declared.fields.items()
    ]
    return msgspec.defstruct(
        "".join(map(str.capitalize, name.split("_"))) + "Data",
        [*extra, *fields],
        bases=(In,),
        frozen=True,
        forbid_unknown_fields=declared.unknown_fields == "refuse",
    )


def _annotation(field: Field) -> Any:
    """The type of a field's values in JSON."""
    match field.kind:
        case "flag":
            return bool
        case "number":
            return Annotated[float, Meta(ge=field.at_least, le=field.at_most)]
        case "category":
            return Literal[field.values] if field.values else Annotated[str, Meta(max_length=field.chars)]
        case kind:
            form = {"format": "date-time"} if kind == "time" else None
            return Annotated[str, Meta(max_length=field.chars, pattern=_PATTERNS.get(kind), extra_json_schema=form)]

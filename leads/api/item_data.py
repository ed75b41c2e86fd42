"""The content of items as the API takes it: `data`, read by the fields that the item's type declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from leads import clock
from leads.api.requests import instant
from leads.errors import InvalidInput
from leads.events import JUDGED_BEFORE, FieldValue, ItemCreated, SubjectRef, decode
from leads.messages import patterns
from leads.platform.declaration import ItemType, Platform, load_platform
from leads.platform.fields import Field, Kind
from leads.settings import Settings
from leads_client.fields import Id, json_name
from leads_client.schemas.base import In, Ref

_MAX_UNKNOWN, _MAX_UNKNOWN_BYTES = 100, 16_384
# Fields that an `ItemCreated` event holds by name.
_TEXT, _DURATION, _MAX_DURATION_S = "text", "duration_s", 1e7
_NAMED = ("account_id", "parent")
# Where an event has what the API has elsewhere.
_IN_EVENT = {
    "/typeId": "/body/subject/type_id",
    "/data/accountId": "/body/account_id",
    "/data/durationS": "/body/duration_s",
    "/data/parent/typeId": "/body/parent/type_id",
}


class ItemContent(NamedTuple):
    """What a caller says about an item; `values` are those of its declared fields, by name."""

    account_id: str | None
    parent: SubjectRef | None
    values: dict[str, FieldValue]
    unknown: dict[str, Raw]


class ItemReader:
    """Reads the content of items of every declared type. Thread-safe."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._types = {name: _TypeReader(name, type_) for name, type_ in platform.types.items()}

    def read(self, type_id: str, data: Raw | UnsetType, *, whole: bool) -> ItemContent:
        """Read an item's `data`.

        Args:
            whole: whether this is all of its content, so that its required fields must be there.

        Raises:
            InvalidInput: with the JSON pointer in the item: `/typeId`, `/data/title`.
        """
        self.platform.type_of(type_id, field="/typeId")
        reader = self._types[type_id]
        content = reader.read(data)
        if whole:
            reader.check_whole(content)
        parents = reader.type_.parents
        if content.parent is not None and parents is not None and content.parent.type_id not in parents:
            raise InvalidInput(
                f"{reader.type_.title} isn't posted under {content.parent.type_id!r}.",
                field="/data/parent/typeId",
                remedy=f"It may be posted under: {', '.join(parents)}." if parents else "Leave out its parent.",
            )
        return content

    def event(self, subject: SubjectRef, data: Raw | UnsetType) -> ItemCreated:
        """The event that an item with this content was created or edited.

        Raises:
            InvalidInput: as `read`.
        """
        account_id, parent, values, unknown = self.read(subject.type_id, data, whole=True)
        kept = {name: value for name, value in values.items() if value != ""}
        text, duration_s = kept.get(_TEXT), kept.get(_DURATION)
        if isinstance(text, str):
            del kept[_TEXT]
        if isinstance(duration_s, float) and 0 <= duration_s <= _MAX_DURATION_S:
            del kept[_DURATION]
        else:
            duration_s = None
        return ItemCreated(
            subject,
            account_id,
            parent,
            text if isinstance(text, str) else "",
            duration_s,
            kept,
            self.judged(subject.type_id),
            unknown,
        )

    def check(self, item: ItemCreated) -> None:
        """Check an event that wasn't made by `event`, such as one of a recorded history.

        Raises:
            InvalidInput: as `read`, with the JSON pointer in the event: `/body/fields/title`.
        """
        try:
            data = Raw(msgspec.json.encode(self.out(item, to_reviewers=False)))
            self.read(item.subject.type_id, data, whole=True)
        except InvalidInput as error:
            pointer = _IN_EVENT.get(error.field or "") or self._in_event(item, error.field or "")
            raise InvalidInput(error.message, field=pointer, remedy=error.remedy) from error

    def _in_event(self, item: ItemCreated, field: str) -> str:
        """The JSON pointer in an event of a field's pointer in the API's objects."""
        given = field.removeprefix("/data").removeprefix("/")
        names = [name for name in item.fields if json_name(name) == given]
        return f"/body/fields/{names[0]}" if names else f"/body/{given}" if given else "/body"

    def out(self, item: ItemCreated, *, to_reviewers: bool) -> dict[str, Any]:
        """An item's content as the API sends it.

        Args:
            to_reviewers: leave out the fields that reviewers don't see.
        """
        type_ = self.platform.types.get(item.subject.type_id)
        fields = type_.fields if type_ else {}
        found: dict[str, Any] = {"account_id": item.account_id, "parent": None}
        if item.parent is not None:
            found["parent"] = {"id": item.parent.id, "typeId": item.parent.type_id}
        for name, value in item.values.items():
            field = fields.get(name)
            if field is None or field.shown or not to_reviewers:
                is_time = field is not None and field.kind == "time"
                found[name] = clock.to_text(value) if is_time and isinstance(value, int) else value
        return {json_name(name): value for name, value in found.items() if value is not None}

    def judged(self, type_id: str) -> tuple[str, ...]:
        """The judged texts of a type, in order; as before types were declared if it isn't declared."""
        reader = self._types.get(type_id)
        return reader.judged if reader else JUDGED_BEFORE

    def schema_type(self, type_id: str) -> type[msgspec.Struct]:
        """The type of a declared type's `data`, for JSON Schema."""
        return self._types[type_id].data


class _TypeReader:
    """Reads the content of items of one type."""

    def __init__(self, name: str, type_: ItemType) -> None:
        self.type_ = type_
        self.data = _struct(name, type_)
        self._decoder = msgspec.json.Decoder(self.data)
        self._known = {json_name(field) for field in (*type_.fields, *_NAMED)}
        judged = tuple(type_.judged)
        # The same object: a default is left out of the event's JSON only then.
        self.judged = judged if judged and judged != JUDGED_BEFORE else JUDGED_BEFORE
        self._times = [field for field, one in type_.fields.items() if one.kind == "time"]

    def read(self, data: Raw | UnsetType) -> ItemContent:
        raw = b"{}" if data is UNSET else bytes(data)
        try:
            found: Any = decode(self._decoder, raw)
        except InvalidInput as error:
            raise InvalidInput(error.message, field=f"/data{error.field or ''}", remedy=error.remedy) from error
        given = ((name, getattr(found, name)) for name in self.type_.fields)
        values = {name: value for name, value in given if value is not None}
        for name in self._times:
            if name in values:
                values[name] = instant(values[name], 0, field=f"/data/{json_name(name)}")
        parent = found.parent and SubjectRef(found.parent.type_id, found.parent.id)
        unknown = dict(self._unknown(raw)) if self.type_.unknown_fields == "keep" else {}
        return ItemContent(found.account_id, parent, values, unknown)

    def check_whole(self, content: ItemContent) -> None:
        for name, field in self.type_.fields.items():
            if field.required and content.values.get(name, "") == "":
                raise InvalidInput(
                    f"{self.type_.title_of(name)} is missing.",
                    field=f"/data/{json_name(name)}",
                    remedy=f"platform.yaml requires it of every item of type {self.type_.title!r}.",
                )

    def _unknown(self, raw: bytes) -> Iterator[tuple[str, Raw]]:
        every = msgspec.json.decode(raw, type=dict[str, Raw])
        found = {name: value for name, value in every.items() if name not in self._known}
        size = sum(len(name) + len(bytes(value)) for name, value in found.items())
        if len(found) > _MAX_UNKNOWN or size > _MAX_UNKNOWN_BYTES:
            raise InvalidInput(
                f"There are {len(found):,} fields that aren't declared, with {size:,} bytes.",
                field="/data",
                remedy=f"Send at most {_MAX_UNKNOWN} with {_MAX_UNKNOWN_BYTES:,} bytes, or declare them.",
            )
        return ((name, Raw(bytes(value))) for name, value in found.items())


def _struct(name: str, type_: ItemType) -> type[msgspec.Struct]:
    declared = [
        (field, Annotated[_annotation(one) | None, Meta(title=type_.title_of(field))], None)
        for field, one in type_.fields.items()
    ]
    return msgspec.defstruct(
        "".join(map(str.capitalize, name.split("_"))) + "Data",
        [("account_id", Id | None, None), ("parent", Ref | None, None), *declared],
        bases=(In,),
        frozen=True,
        forbid_unknown_fields=type_.unknown_fields == "refuse",
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
            return Annotated[str, Meta(max_length=field.chars, pattern=_PATTERNS.get(kind))]


_PATTERNS: Mapping[Kind, str] = {"url": patterns.URL, "language": patterns.LANGUAGE}


def item_reader(settings: Settings) -> ItemReader:
    """A reader for the types of the settings' `platform.yaml`.

    Raises:
        ConfigurationError: the file can't be read, or is invalid.
    """
    return ItemReader(load_platform(settings.platform))

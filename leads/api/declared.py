"""What items and events say, as the API takes it: `data`, read by the fields that their type or kind declares."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, UnsetType

from leads import clock
from leads.api.fields import FieldsReader
from leads.errors import InvalidInput, moved
from leads.events import ACCOUNT, JUDGED_BEFORE, FieldValue, Happened, ItemCreated, SubjectRef
from leads.platform.declaration import Platform, load_platform
from leads.platform.fielded import EventKind, ItemType
from leads.settings import Settings
from leads_client.fields import Id, json_name
from leads_client.schemas.base import Ref

# Fields that an `ItemCreated` event holds by name.
_TEXT, _DURATION, _MAX_DURATION_S = "text", "duration_s", 1e7
# What an item's `data` has beside its declared fields.
_NAMED = (("account_id", Id | None, None), ("parent", Ref | None, None))
# Where an event has what the API has elsewhere.
_IN_EVENT = {
    "/typeId": "/body/subject/type_id",
    "/kind": "/body/kind",
    "/accountId": "/body/account_id",
    "/subject/typeId": "/body/subject/type_id",
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


class Declared:
    """Reads items of every declared type, and events of every declared kind. Thread-safe."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._types = {name: _TypeReader(name, type_) for name, type_ in platform.types.items()}
        self._kinds = {name: _KindReader(name, kind) for name, kind in platform.events.items()}

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
            reader.fields.check_whole(content.values)
        parents = reader.type_.parents
        if content.parent is not None and parents is not None and content.parent.type_id not in parents:
            raise InvalidInput(
                f"{reader.type_.title} isn't posted under {content.parent.type_id!r}.",
                field="/data/parent/typeId",
                remedy=f"It may be posted under: {', '.join(parents)}." if parents else "Leave out its parent.",
            )
        return content

    def item(self, subject: SubjectRef, data: Raw | UnsetType) -> ItemCreated:
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

    def happened(
        self, kind: str, subject: SubjectRef | None, account_id: str | None, data: Raw | UnsetType
    ) -> Happened:
        """An event of a declared kind.

        Args:
            subject: what it is about; None for the account.

        Raises:
            InvalidInput: with the JSON pointer in the entry: `/kind`, `/accountId`, `/subject/typeId`, `/data/amount`.
        """
        self.platform.kind_of(kind, field="/kind")
        reader = self._kinds[kind]
        about = reader.about(subject, account_id)
        values, unknown = reader.read(data)
        return Happened(about, kind, account_id, values, unknown)

    def check(self, body: ItemCreated | Happened) -> None:
        """Check an event that wasn't made here, such as one of a recorded history.

        Raises:
            InvalidInput: as `read` and `happened`, with the JSON pointer in the event: `/body/fields/title`.
        """
        try:
            if isinstance(body, ItemCreated):
                data = Raw(msgspec.json.encode(self.out(body, to_reviewers=False)))
                self.read(body.subject.type_id, data, whole=True)
            else:
                self.platform.kind_of(body.kind, field="/kind")
                data = Raw(msgspec.json.encode(_out(body.fields, self.platform.events[body.kind])))
                self.happened(body.kind, body.subject, body.account_id, data)
        except InvalidInput as error:
            raise moved(error, lambda field: _IN_EVENT.get(field) or _in_event(body, field)) from error

    def out(self, item: ItemCreated, *, to_reviewers: bool) -> dict[str, Any]:
        """An item's content as the API sends it.

        Args:
            to_reviewers: leave out the fields that reviewers don't see.
        """
        type_ = self.platform.types.get(item.subject.type_id)
        hidden = {name for name, field in type_.fields.items() if not field.shown} if type_ and to_reviewers else set()
        found: dict[str, Any] = {} if item.account_id is None else {"accountId": item.account_id}
        if item.parent is not None:
            found["parent"] = {"id": item.parent.id, "typeId": item.parent.type_id}
        return found | _out({name: value for name, value in item.values.items() if name not in hidden}, type_)

    def judged(self, type_id: str) -> tuple[str, ...]:
        """The judged texts of a type, in order; as before types were declared if it isn't declared."""
        reader = self._types.get(type_id)
        return reader.judged if reader else JUDGED_BEFORE

    def schema_type(self, type_id: str) -> type[msgspec.Struct]:
        """The type of a declared type's `data`, for JSON Schema."""
        return self._types[type_id].fields.data

    def schema_kind(self, kind: str) -> type[msgspec.Struct]:
        """The type of a declared kind's `data`, for JSON Schema."""
        return self._kinds[kind].fields.data


class _TypeReader:
    """Reads the content of items of one type."""

    def __init__(self, name: str, type_: ItemType) -> None:
        self.type_ = type_
        self.fields = FieldsReader(name, type_, _NAMED)
        judged = tuple(type_.judged)
        # The same object: a default is left out of the event's JSON only then.
        self.judged = judged if judged and judged != JUDGED_BEFORE else JUDGED_BEFORE

    def read(self, data: Raw | UnsetType) -> ItemContent:
        given, values, unknown = self.fields.read(data)
        parent = given.parent and SubjectRef(given.parent.type_id, given.parent.id)
        return ItemContent(given.account_id, parent, values, unknown)


class _KindReader:
    """Reads events of one kind."""

    def __init__(self, name: str, kind: EventKind) -> None:
        self.kind = kind
        self.fields = FieldsReader(name, kind)

    def read(self, data: Raw | UnsetType) -> tuple[dict[str, FieldValue], dict[str, Raw]]:
        _, values, unknown = self.fields.read(data)
        self.fields.check_whole(values)
        return {name: value for name, value in values.items() if value != ""}, unknown

    def about(self, subject: SubjectRef | None, account_id: str | None) -> SubjectRef:
        """What an event is about."""
        if account_id is None and (subject is None or self.kind.by == "required"):
            raise InvalidInput(
                "accountId is missing.",
                field="/accountId",
                remedy="Say which account did it."
                if self.kind.by == "required"
                else "Send accountId, a subject, or both.",
            )
        found = subject or SubjectRef(ACCOUNT, account_id or "")
        types = self.kind.about
        if types is not None and found.type_id not in types:
            raise InvalidInput(
                f"{self.kind.title} isn't about {found.type_id!r}.",
                field="/subject" if subject is None else "/subject/typeId",
                remedy=f"It is about: {', '.join(types)}.",
            )
        return found


def _out(values: dict[str, FieldValue], declared: ItemType | EventKind | None) -> dict[str, Any]:
    """The values of fields as the API sends them, by their names in JSON."""
    times = {name for name, field in declared.fields.items() if field.kind == "time"} if declared else set()
    return {
        json_name(name): clock.to_text(value) if name in times and isinstance(value, int) else value
        for name, value in values.items()
    }


def _in_event(body: ItemCreated | Happened, field: str) -> str:
    """The JSON pointer in an event of a field's pointer in the API's objects."""
    given = field.removeprefix("/data").removeprefix("/")
    names = [name for name in body.fields if json_name(name) == given]
    return f"/body/fields/{names[0]}" if names else f"/body/{given}" if given else "/body"


def load_declared(settings: Settings) -> Declared:
    """A reader for the types of the settings' `platform.yaml`.

    Raises:
        ConfigurationError: the file can't be read, or is invalid.
    """
    return Declared(load_platform(settings.platform))

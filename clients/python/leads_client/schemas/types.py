"""The response of `GET /v1/types`: the declared types of items and kinds of events, and their fields."""

from __future__ import annotations

from typing import Any

from leads_client.schemas.base import Out


class FieldOut(Out, frozen=True):
    """A field of a type or kind. Only fields of items can be judged or blurred.

    Args:
        name: its name in `data`.
        kind: text, number, flag, category, time, url or language.
        judged: policies judge this text.
        shown, blur: reviewers see it; if `blur`, only after they ask for it.
        personal: it is about a person.
        values: the only values of a category; null for any.
    """

    name: str
    kind: str
    title: str
    required: bool
    judged: bool
    shown: bool
    blur: bool
    personal: bool
    unit: str | None
    values: tuple[str, ...] | None


class TypeOut(Out, frozen=True):
    """A type of item.

    Args:
        parents: the types that it may be posted under; null for any.
        schema: the JSON Schema of its `data`.
    """

    type_id: str
    title: str
    parents: tuple[str, ...] | None
    fields: tuple[FieldOut, ...]
    schema: dict[str, Any]


class KindOut(Out, frozen=True):
    """A kind of event.

    Args:
        about: the types of what it is about; null for any.
        by_required: an event must say which account did it.
        schema: the JSON Schema of its `data`.
    """

    kind: str
    title: str
    about: tuple[str, ...] | None
    by_required: bool
    fields: tuple[FieldOut, ...]
    schema: dict[str, Any]


class TypesOut(Out, frozen=True):
    """Every declared type and kind, in the order of platform.yaml."""

    types: tuple[TypeOut, ...]
    events: tuple[KindOut, ...]

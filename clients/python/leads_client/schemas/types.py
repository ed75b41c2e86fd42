"""What a platform declares: types of items and kinds of events with their fields, and harms."""

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


class ThresholdsOut(Out, frozen=True):
    """The lowest score of each tier; null if the version doesn't offer the tier."""

    review: float | None
    auto: float | None


class HarmOut(Out, frozen=True):
    """A harm, and the champion that scores it in the process that handled the request.

    Args:
        type_ids: the types of items and accounts that it applies to.
        champion: its version; null while none serves, such as before the first training.
        thresholds: those of the champion; null without one.
    """

    harm: str
    title: str
    type_ids: tuple[str, ...]
    champion: str | None
    thresholds: ThresholdsOut | None


class HarmsOut(Out, frozen=True):
    """The harms that the key may access, in the order of policies.yaml."""

    harms: tuple[HarmOut, ...]

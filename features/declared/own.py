"""The values of an item's own fields, as features."""

from __future__ import annotations

from collections.abc import Mapping

from leads.events import FieldValue


def own_value(values: Mapping[str, FieldValue], name: str) -> float | None:
    """A field's value: a number as it is, a flag as 0 or 1, the length of a text; None if the item doesn't have it.

    Args:
        name: of the field; `genre=news` for whether it has this value.

    >>> own_value({"genre": "news", "explicit": True}, "genre=news"), own_value({"explicit": True}, "explicit")
    (1.0, 1.0)
    """
    field, compared, wanted = name.partition("=")
    value = values.get(field)
    if value is None:
        return None
    if compared:
        return float(value == wanted)
    return float(len(value) if isinstance(value, str) else value)

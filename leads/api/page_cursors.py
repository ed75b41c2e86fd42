"""Cursors: where a page of a list ended, as text that callers send back unchanged."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from leads.errors import InvalidInput

T = TypeVar("T", bound=msgspec.Struct)


def to_text(cursor: msgspec.Struct) -> str:
    """The cursor as text for URLs."""
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def of_text(text: str, type_: type[T]) -> T:
    """The inverse of `to_text`.

    Raises:
        InvalidInput: it isn't a cursor of this type.
    """
    try:
        return msgspec.json.decode(raw_of(text), type=type_)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            "Not a valid cursor.", field="/cursor", remedy="Use `nextCursor` of the previous page, unchanged."
        ) from error


def raw_of(text: str) -> bytes:
    """The JSON of a cursor.

    Raises:
        ValueError: it isn't base64.
    """
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error

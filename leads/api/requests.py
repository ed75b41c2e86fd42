"""Reading requests: JSON into the client's schemas, with the JSON pointer of what is wrong."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from leads import clock
from leads.clock import Micros
from leads.errors import InvalidInput
from leads.events import decode
from leads_client.schemas.base import MAX_BATCH, Harms, In, SubjectIn
from leads_client.schemas.scores import ScoreIn

T = TypeVar("T")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
# How many harms a type of subject has where none is named.
_ABOUT_ALL = 4


class BadSubject(NamedTuple):
    """A subject of a scoring request that can't be read."""

    error: InvalidInput


class Asked(NamedTuple):
    """A scoring request as far as it can be read."""

    subjects: tuple[SubjectIn | BadSubject, ...]
    harms: tuple[str, ...] | None
    reasons: bool

    @property
    def rows(self) -> int:
        """About how many scores it asks for; explaining one counts as several."""
        return len(self.subjects) * (len(self.harms) if self.harms else _ABOUT_ALL) * (32 if self.reasons else 1)


class _Loose(In, frozen=True):
    """`ScoreIn` whose subjects are read one by one."""

    subjects: Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=MAX_BATCH)]
    harms: Harms | None = None
    reasons: bool = False


def parse_scoring(raw: bytes) -> Asked:
    """A scoring request, in which one bad subject spoils no other.

    Raises:
        InvalidInput: what is wrong is not a subject.
    """
    try:
        whole = parse(raw, ScoreIn)
        return Asked(whole.subjects, whole.harms, whole.reasons)
    except InvalidInput as error:
        if not (error.field or "").startswith("/subjects/"):
            raise
    loose = parse(raw, _Loose)
    return Asked(tuple(map(_subject, loose.subjects)), loose.harms, loose.reasons)


def _subject(raw: msgspec.Raw) -> SubjectIn | BadSubject:
    try:
        return parse(bytes(raw), SubjectIn)
    except InvalidInput as error:
        return BadSubject(error)


def parse(raw: bytes, type_: type[T]) -> T:
    """A request's body.

    Raises:
        InvalidInput: with the JSON pointer of what is wrong.
    """
    if type_ not in _decoders:
        _decoders[type_] = msgspec.json.Decoder(type_)
    body: T = decode(_decoders[type_], raw)
    return body


def instant(text: str | None, default: Micros, *, field: str) -> Micros:
    """Raises InvalidInput when the text is no time between 2000 and 2100."""
    if text is None:
        return default
    try:
        at = clock.from_text(text)
    except ValueError as error:
        raise InvalidInput("This is not a time.", field=field, remedy="For example 2026-03-01T12:00:00Z.") from error
    if not 946_684_800_000_000 <= at <= 4_102_444_800_000_000:
        raise InvalidInput("This time is not between 2000 and 2100.", field=field)
    return at


def time_text(at: Micros | None) -> str | None:
    """RFC 3339, or None."""
    return None if at is None else clock.to_text(at)

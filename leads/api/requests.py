"""Parses requests: JSON into the client's schemas. Errors carry the JSON pointer of what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from leads import clock
from leads.clock import Micros
from leads.errors import InvalidInput, LeadsError, moved, together
from leads.events import decode
from leads_client.schemas.base import MAX_BATCH, Harms, In, SubjectIn
from leads_client.schemas.scores import ScoreIn

T = TypeVar("T")
EntryT = TypeVar("EntryT", bound=In)
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
# The decoder reads an array to its end before it checks the length, which takes long if it has many tiny entries.
_LARGE_BYTES = 256 * 1024
# A valid entry has at most 20 strings, names included.
_MAX_QUOTES = 64 * MAX_BATCH
# Assumed number of harms per subject in a request that names none.
_TYPICAL_HARMS = 4


class InvalidSubject(NamedTuple):
    """A subject of a scoring request that failed to parse."""

    error: InvalidInput


class ScoringRequest(NamedTuple):
    """A scoring request in which single subjects may be invalid."""

    subjects: tuple[SubjectIn | InvalidSubject, ...]
    harms: tuple[str, ...] | None
    reasons: bool

    @property
    def rows(self) -> int:
        """The approximate number of scores requested; one with reasons counts as 32."""
        return len(self.subjects) * (len(self.harms) if self.harms else _TYPICAL_HARMS) * (32 if self.reasons else 1)


class _Loose(In, frozen=True):
    """`ScoreIn` with subjects left unparsed."""

    subjects: Annotated[tuple[msgspec.Raw, ...], Meta(min_length=1, max_length=MAX_BATCH)]
    harms: Harms | None = None
    reasons: bool = False


def parse_scoring(raw: bytes) -> ScoringRequest:
    """Parse a scoring request. An invalid subject doesn't affect the others.

    Raises:
        InvalidInput: something other than a subject is invalid.
    """
    try:
        whole = parse(raw, ScoreIn)
        return ScoringRequest(whole.subjects, whole.harms, whole.reasons)
    except InvalidInput as error:
        if not (error.field or "").startswith("/subjects/"):
            raise
    loose = parse(raw, _Loose)
    return ScoringRequest(tuple(map(_subject, loose.subjects)), loose.harms, loose.reasons)


def _subject(raw: msgspec.Raw) -> SubjectIn | InvalidSubject:
    try:
        return parse(bytes(raw), SubjectIn)
    except InvalidInput as error:
        return InvalidSubject(error)


def parse_batch(
    raw: bytes, type_: type[T], name: str, entry: type[EntryT], check: Callable[[EntryT, str], object]
) -> T:
    """Parse the body of a request that sends a batch.

    Args:
        name: the field that holds the entries.
        entry: the type of an entry.
        check: raises LeadsError for an entry that fits its schema and is wrong all the same; gets the entry and its
            JSON pointer. It is called only if other entries don't fit, so that one response names all wrong entries.

    Raises:
        LeadsError: something is invalid; its `faults` name every wrong entry, up to 20.
    """
    try:
        return parse(raw, type_)
    except InvalidInput as error:
        misfits, others = _wrong_entries(raw, name, entry, check)
        if not misfits:
            raise
        wrong = {**misfits, **others}
        raise together([wrong[i] for i in sorted(wrong)]) from error


def _wrong_entries(
    raw: bytes, name: str, entry: type[EntryT], check: Callable[[EntryT, str], object]
) -> tuple[dict[int, LeadsError], dict[int, LeadsError]]:
    """By position, the entries that don't fit their schema, and the others that `check` refuses."""
    misfits: dict[int, LeadsError] = {}
    others: dict[int, LeadsError] = {}
    for i, one in enumerate(_entries(raw, name)[:MAX_BATCH]):
        place = f"/{name}/{i}"
        try:
            parsed = parse(one, entry)
        except InvalidInput as error:
            misfits[i] = moved(error, place.__add__)
            continue
        try:
            check(parsed, place)
        except LeadsError as error:
            others[i] = error
    return misfits, others


def _entries(raw: bytes, name: str) -> list[bytes]:
    """The entries of a batch as JSON, as far as they can be told apart."""
    try:
        return [bytes(one) for one in msgspec.json.decode(raw, type=dict[str, list[msgspec.Raw]]).get(name, [])]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        # Python's decoder accepts lone surrogates, so it still finds where the entries begin and end.
        body = json.loads(raw)
        entries = body.get(name) if isinstance(body, dict) else None
        return [json.dumps(one).encode() for one in entries] if isinstance(entries, list) else []
    except (ValueError, RecursionError):
        return []


def parse(raw: bytes, type_: type[T]) -> T:
    """Parse a request body.

    Raises:
        InvalidInput: with the JSON pointer of the error.
    """
    if len(raw) > _LARGE_BYTES and _quotes(raw) > _MAX_QUOTES:
        remedy = f"Send at most {MAX_BATCH:,} subjects, items, signals or plays at once."
        raise InvalidInput("The body has too many entries.", remedy=remedy)
    if type_ not in _decoders:
        _decoders[type_] = msgspec.json.Decoder(type_)
    body: T = decode(_decoders[type_], raw)
    return body


def _quotes(raw: bytes) -> int:
    """How many strings of a body begin or end, at least: a quote after an escaped backslash isn't counted."""
    quotes = raw.count(b'"')
    return quotes if quotes <= _MAX_QUOTES else quotes - raw.count(b'\\"')


def instant(text: str | None, default: Micros, *, field: str) -> Micros:
    """Parse a time. Raises InvalidInput when it is invalid or not between 2000 and 2100."""
    if text is None:
        return default
    try:
        at = clock.from_text(text)
    except ValueError as error:
        remedy = "Use RFC 3339 with an offset, for example 2026-03-01T12:00:00Z."
        raise InvalidInput("Not a valid time.", field=field, remedy=remedy) from error
    if not 946_684_800_000_000 <= at <= 4_102_444_800_000_000:
        raise InvalidInput("The time must be between 2000 and 2100.", field=field)
    return at


def time_text(at: Micros | None) -> str | None:
    """The time in RFC 3339; None for None."""
    return None if at is None else clock.to_text(at)

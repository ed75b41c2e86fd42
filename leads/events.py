"""The records that cross folders: frozen, typed, and encoded to JSON by msgspec.

An `Event` is one immutable fact. What happened is its `body`; who sent it said when (`occurred_at`). The event log adds
when we could first have known (`visible_at`) and its place in the order (`offset`), which makes it a `LoggedEvent`.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from leads.clock import Micros
from leads.errors import InvalidInput
from leads_client.fields import DecidedBy, Id, Name, SignalKind, Text, Verdict

ACCOUNT = "account"
# From 2000 to 2100: a wrong unit (seconds, milliseconds) is caught here and not as a feature.
Instant = Annotated[int, Meta(ge=946_684_800_000_000, le=4_102_444_800_000_000)]


class Subject(NamedTuple):
    """What is judged: an item (`track`, `comment`, …) or an `account`."""

    type_id: str
    id: str

    @property
    def key(self) -> str:
        """The one string form, used as entity key: `comment:c1`."""
        return f"{self.type_id}:{self.id}"

    @staticmethod
    def of_key(key: str) -> Subject:
        """The inverse of `key`; ids may hold colons, types can't."""
        type_id, _, subject_id = key.partition(":")
        return Subject(type_id, subject_id)


class SubjectRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subject as it stands in an event."""

    type_id: Name
    id: Id

    @property
    def subject(self) -> Subject:
        return Subject(self.type_id, self.id)


class ItemCreated(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="item_created",
    omit_defaults=True,
):
    """An item, or an account (`type_id` `account`), came to be or was edited; the newest says what it holds.

    `account_id` is who made it; `parent` is what it hangs on (a comment's track). `text` is all its text that a policy
    may judge. `duration_s` is a recording's length in seconds.
    """

    subject: SubjectRef
    account_id: Id | None = None
    parent: SubjectRef | None = None
    text: Text = ""
    duration_s: Annotated[float, Meta(ge=0, le=1e7)] | None = None


class Played(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="played",
    omit_defaults=True,
):
    """`account_id` listened to `subject` for `seconds`, from `device_id`."""

    subject: SubjectRef
    account_id: Id
    seconds: Annotated[float, Meta(ge=0, le=1e6)]
    device_id: Id | None = None


class SignalReceived(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="signal_received",
    omit_defaults=True,
):
    """Something from outside that bears on a harm: a report, a notice, a hash match, another classifier's score."""

    subject: SubjectRef
    kind: SignalKind
    source: Id
    harm: Name | None = None
    reporter_id: Id | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None


class DecisionMade(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="decision_made",
    omit_defaults=True,
):
    """A verdict on (subject, harm). `propensity` is the chance with which this pair came to be judged, where known."""

    subject: SubjectRef
    harm: Name
    verdict: Verdict
    by: DecidedBy
    reviewer: Id
    lead_id: Id | None = None
    reason: Annotated[str, Meta(max_length=2_000)] = ""
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None


Body = ItemCreated | Played | SignalReceived | DecisionMade


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One immutable fact. `id` is the sender's: the same id twice is the same fact."""

    id: Id
    occurred_at: Instant
    body: Body


class RecordedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event in a history file, which also says when the platform could first have known it."""

    id: Id
    occurred_at: Instant
    visible_at: Instant
    body: Body

    @property
    def event(self) -> Event:
        return Event(self.id, self.occurred_at, self.body)


class LoggedEvent(NamedTuple):
    """An event in the log. `offset` and `visible_at` both rise strictly from one event to the next."""

    offset: int
    visible_at: Micros
    event: Event


T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_event_decoder = msgspec.json.Decoder(Event)
_recorded_decoder = msgspec.json.Decoder(RecordedEvent)
# Messages that quote what was sent, and what may be quoted.
_UNTRUSTED = re.compile(r"(Object contains unknown field |Invalid enum value |Invalid value )(.*)", re.DOTALL)
_PLAIN = re.compile(r"[`'][A-Za-z0-9_]{1,40}[`']")


def encode(record: msgspec.Struct) -> bytes:
    """Compact JSON, UTF-8, keys in field order: equal records give equal bytes."""
    return _encoder.encode(record)


def decode_event(raw: bytes) -> Event:
    """Raises InvalidInput with the JSON pointer of what is wrong."""
    return decode(_event_decoder, raw)


def decode_recorded(raw: bytes) -> RecordedEvent:
    """Raises InvalidInput with the JSON pointer of what is wrong."""
    return decode(_recorded_decoder, raw)


def decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decode and validate.

    Raises:
        InvalidInput: with the JSON pointer of what is wrong, and without quoting what was sent.
    """
    try:
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        raise InvalidInput("This is not UTF-8.", remedy="Send JSON in UTF-8.") from error
    except msgspec.ValidationError as error:
        message, _, path = str(error).rpartition(" - at `$") if " - at `$" in str(error) else (str(error), "", "")
        raise InvalidInput(_tame(message) + ".", field=_pointer(path.rstrip("`"))) from error
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"This is not JSON: {error}.", remedy="Send JSON in UTF-8; NaN is none.") from error


def _tame(message: str) -> str:
    """The message without an unknown key or value that may be somebody's text."""
    found = _UNTRUSTED.match(message)
    if found is None or _PLAIN.fullmatch(found[2]):
        return message
    return f"{found[1]}…"


def _pointer(path: str) -> str | None:
    """`.body.subject[0]` as `/body/subject/0`."""
    return path.replace("[", "/").replace("]", "").replace(".", "/") or None

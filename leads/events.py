"""Events, the records that the platform is built on: frozen, typed and encoded to JSON with msgspec.

An `Event` is an immutable fact. Its `body` says what happened; its sender says when (`occurred_at`). The event log adds
when the platform could first have known it (`visible_at`) and its position (`offset`), which makes it a `LoggedEvent`.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from leads.clock import Micros
from leads.errors import InvalidInput
from leads.messages.schema_errors import explained
from leads.messages.surrogates import half_a_character
from leads_client.fields import DecidedBy, Id, Name, SignalKind, Verdict

ACCOUNT = "account"
# What policies judge in one item, all texts together.
MAX_JUDGED_CHARS = 50_000
# A text, a number, a flag, or a time in µs since epoch.
FieldValue = bool | int | float | str
# What was judged in items before types were declared.
JUDGED_BEFORE = ("text",)
# 2000 to 2100, so that a wrong unit (seconds, milliseconds) is rejected instead of becoming a feature.
Instant = Annotated[int, Meta(ge=946_684_800_000_000, le=4_102_444_800_000_000)]


class Subject(NamedTuple):
    """What is scored and decided on: an item (`track`, `comment`, …) or an `account`."""

    type_id: str
    id: str

    @property
    def key(self) -> str:
        """The subject as one string, used as entity key: `comment:c1`."""
        return f"{self.type_id}:{self.id}"

    @staticmethod
    def of_key(key: str) -> Subject:
        """Parse a `key`. Ids may contain colons; types can't."""
        type_id, _, subject_id = key.partition(":")
        return Subject(type_id, subject_id)


class SubjectRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subject within an event."""

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
    """An item, or an account (`type_id` `account`), was created or edited; the newest event holds its current content.

    `account_id` is the creator, and `parent` is what it was posted under (a comment's track). The values of its
    declared fields are in `fields`, except for those of `text` and `duration_s`, where earlier releases look for them.
    `judged` names the texts that policies judged when it was sent, in their order: a later declaration doesn't change
    what a verdict was about. `unknown` holds what was sent beyond the declared fields.
    """

    subject: SubjectRef
    account_id: Id | None = None
    parent: SubjectRef | None = None
    text: Annotated[str, Meta(max_length=MAX_JUDGED_CHARS)] = ""
    duration_s: Annotated[float, Meta(ge=0, le=1e7)] | None = None
    fields: dict[Name, FieldValue] = {}
    judged: tuple[Name, ...] = JUDGED_BEFORE
    unknown: dict[str, msgspec.Raw] = {}

    @property
    def values(self) -> dict[str, FieldValue]:
        """The values of all fields that it has."""
        found: dict[str, FieldValue] = {"text": self.text} if self.text else {}
        if self.duration_s is not None:
            found["duration_s"] = self.duration_s
        return found | self.fields


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
    """Outside evidence about a harm: a user report, a notice, a hash match or another classifier's score."""

    subject: SubjectRef
    kind: SignalKind
    source: Id
    harm: Name | None = None
    reporter_id: Id | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None


class ContentRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version of a subject's content: the offset of its event, and the hash of what policies judge in it.

    Offset 0 stands for a subject without content.
    """

    offset: Annotated[int, Meta(ge=0)]
    hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a subject was chosen for review: `pi` is the probability that it was."""

    pi: Annotated[float, Meta(gt=0, le=1)]
    stratum: str = ""
    epoch: str = ""
    seed: int = 0
    policy_version: str = ""


class DecisionMade(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="decision_made",
    omit_defaults=True,
):
    """A verdict on (subject, harm).

    `content` is the version that was judged, `prediction_id` the score that was current when it was shown, and
    `review_id` the look at it that led to the verdict; absent where they are not known. `propensity` is how older
    events state the selection's `pi`.
    """

    subject: SubjectRef
    harm: Name
    verdict: Verdict
    by: DecidedBy
    reviewer: Id
    lead_id: Id | None = None
    reason: Annotated[str, Meta(max_length=2_000)] = ""
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    review_id: Id | None = None
    content: ContentRef | None = None
    prediction_id: Id | None = None
    action: Name | None = None
    selection: Selection | None = None

    @property
    def pi(self) -> float | None:
        """The probability that this pair was selected for review, if known."""
        return self.selection.pi if self.selection is not None else self.propensity


class Happened(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="happened",
    omit_defaults=True,
):
    """An event of a kind that platform.yaml declares: `account_id` did something, and `subject` is what it is about.

    `fields` has the values of its declared fields, `unknown` what was sent beyond them.
    """

    subject: SubjectRef
    kind: Name
    account_id: Id | None = None
    fields: dict[Name, FieldValue] = {}
    unknown: dict[str, msgspec.Raw] = {}


Body = ItemCreated | Played | SignalReceived | DecisionMade | Happened


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An immutable fact. `id` is the sender's; events with the same id are the same fact."""

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
    """An event in the log. Both `offset` and `visible_at` strictly increase."""

    offset: int
    visible_at: Micros
    event: Event


def decision_of(logged: LoggedEvent) -> DecisionMade:
    """The body of a `decision_made` event."""
    body = logged.event.body
    assert isinstance(body, DecisionMade)
    return body


T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_event_decoder = msgspec.json.Decoder(Event)
_recorded_decoder = msgspec.json.Decoder(RecordedEvent)


def encode(record: msgspec.Struct) -> bytes:
    """Compact JSON, UTF-8, keys in field order: equal records give equal bytes."""
    return _encoder.encode(record)


def decode_event(raw: bytes) -> Event:
    """Raises InvalidInput with the JSON pointer of the error."""
    return decode(_event_decoder, raw)


def decode_recorded(raw: bytes) -> RecordedEvent:
    """Raises InvalidInput with the JSON pointer of the error."""
    return decode(_recorded_decoder, raw)


def decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decode and validate.

    Raises:
        InvalidInput: with the JSON pointer of the error; the message does not quote the input.
    """
    try:
        return decoder.decode(raw)
    except UnicodeDecodeError as error:
        raise InvalidInput("Not valid UTF-8.", remedy="Send JSON encoded as UTF-8.") from error
    except msgspec.ValidationError as error:
        raise explained(error, decoder.type) from error
    except msgspec.MsgspecError as error:
        if (half := half_a_character(raw)) is not None:
            raise half from error
        remedy = "Send JSON encoded as UTF-8; NaN is not valid JSON."
        raise InvalidInput(f"Invalid JSON: {error}.", remedy=remedy) from error
    except RecursionError as error:
        raise InvalidInput("The JSON is nested too deeply.") from error

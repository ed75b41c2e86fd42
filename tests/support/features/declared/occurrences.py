"""What events mean for the rows of entities, worked out from a list of all events: slow, and kept as a plain list.

Written from the documentation of `leads.platform.kinds`. The hash of contents and the keys of near-copies are shared
with the code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from features.fold.near_text import buckets
from leads import clock
from leads.content import content_hash
from leads.events import DecisionMade, FieldValue, Happened, ItemCreated, LoggedEvent, Played, SignalReceived, Subject

_ACCOUNT = "account"
_NO_LINKS = (None, None, None, None)


@dataclass(frozen=True)
class Occurrence:
    """An event counts in the rows of `key`, which is a subject's key where it counts by what it is about.

    Args:
        at: when the event that made it count happened.
        then: the time that windows go by.
        times: -1 takes an occurrence back.
    """

    kind: str
    by: str
    key: str
    values: Mapping[str, Any]
    at: int
    then: int
    times: int = 1


@dataclass(frozen=True)
class Version:
    """A version of an item: the order it has among the item's versions, and its fields."""

    order: tuple[int, int]
    values: Mapping[str, Any]


@dataclass
class _Item:
    links: tuple[str | None, ...] | None = None
    content_at: int = 0
    content: str = content_hash(None)
    reporters: list[tuple[str, str | None]] = field(default_factory=list)
    # (kind, values, at) of what counts once the item is there.
    waiting: list[tuple[str, Mapping[str, Any], int]] = field(default_factory=list)
    # (harm, content) → (verdict, by, made at, credited at, links, reporters)
    standing: dict[tuple[str, str], tuple[str, str, int, int, tuple[str | None, ...], list[str]]] = field(
        default_factory=dict
    )


class Occurrences:
    """All occurrences after some events.

    Attributes:
        found: in the order in which they came to count.
        versions: of each item and account, by its key.
        devices: by account, the device of the last play that came in.
        given: by (kind of declared event, `who` or `about`, key, field), the last value that came in.
    """

    def __init__(self, events: Sequence[LoggedEvent]) -> None:
        self.found: list[Occurrence] = []
        self.versions: dict[str, list[Version]] = {}
        self.devices: dict[str, str] = {}
        self.given: dict[tuple[str, str, str, str], str] = {}
        self._items: dict[str, _Item] = {}
        self._record: dict[str, list[int]] = {}
        for logged in events:
            at = min(logged.event.occurred_at, logged.visible_at)
            match logged.event.body:
                case Played() as body:
                    self._played(body, at)
                case ItemCreated() as body:
                    self._created(body, at, logged.offset)
                case SignalReceived() as body:
                    self._signalled(body, at)
                case DecisionMade() as body:
                    self._decided(body, at)
                case Happened() as body:
                    self._happened(body, at)

    def links(self, subject: Subject) -> tuple[str | None, ...]:
        """Creator, parent and text buckets of a subject."""
        if subject.type_id == _ACCOUNT:
            return (subject.id, None, None, None)
        item = self._items.get(subject.key)
        return (item and item.links) or _NO_LINKS

    def _add(
        self,
        kind: str,
        by: str,
        key: str | None,
        values: Mapping[str, Any],
        at: int,
        then: int | None = None,
        times: int = 1,
    ) -> None:
        if key is not None:
            self.found.append(Occurrence(kind, by, key, values, at, at if then is None else then, times))

    def _of_item(self, kind: str, links: Sequence[str | None], values: Mapping[str, Any], at: int, then: int) -> None:
        account, parent, *texts = links
        self._add(kind, "creator", account, values, at, then)
        self._add(kind, "parent", parent, values, at, then)
        for text in texts:
            self._add(kind, "text", text, values, at, then)

    def _once_known(self, kind: str, subject: Subject, values: Mapping[str, Any], at: int) -> None:
        item = self._items.setdefault(subject.key, _Item())
        if subject.type_id == _ACCOUNT or item.links is not None:
            self._of_item(kind, self.links(subject), values, at, at)
        else:
            item.waiting.append((kind, values, at))

    def _played(self, body: Played, at: int) -> None:
        subject = body.subject.subject
        values = {"seconds": body.seconds, "hour": _hour(at), "who": body.account_id, "about": subject.key}
        values["device"] = body.device_id
        self._add("play", "about", subject.key, values, at)
        self._add("play", "who", body.account_id, values, at)
        self._add("play", "device", body.device_id, values, at)
        if body.device_id is not None:
            self.devices[body.account_id] = body.device_id

    def _created(self, body: ItemCreated, at: int, offset: int) -> None:
        subject = body.subject.subject
        self._add("item", "about", subject.key, {}, at)
        self.versions.setdefault(subject.key, []).append(Version((at, offset), body.values))
        item = self._items.setdefault(subject.key, _Item())
        if item.links is not None and at < item.content_at:
            return
        before, item.content_at, item.content = item.links, at, content_hash(body)
        if subject.type_id == _ACCOUNT:
            item.links = self.links(subject)
            return
        item.links = (body.account_id, body.parent.subject.key if body.parent else None, *buckets(body.text))
        self._posted(before or _NO_LINKS, item.links, body.text, at)
        for kind, values, then in item.waiting:
            self._of_item(kind, item.links, values, at, then)
        item.waiting = []

    def _posted(self, before: Sequence[str | None], links: Sequence[str | None], text: str, at: int) -> None:
        account, parent, *texts = links
        has_link = any(sign in text.lower() for sign in ("http://", "https://", "www."))
        values = {"link": has_link, "who": account, "parent": parent, "text": texts[0]}
        if account != before[0]:
            self._add("post", "creator", account, values, at)
        if parent != before[1]:
            self._add("post", "parent", parent, values, at)
        for key in texts:
            if key not in before[2:]:
                self._add("post", "text", key, values, at)

    def _signalled(self, body: SignalReceived, at: int) -> None:
        subject, who = body.subject.subject, body.reporter_id
        if body.kind != "user_report":
            self._add(body.kind, "about", subject.key, {"who": who, "score": body.score}, at)
            if body.kind != "classifier":
                self._once_known("flagged", subject, {}, at)
            return
        right, wrong = self._record.get(who or "", [0, 0])
        weight = round((1 + right) / (2 + right + wrong) * 64) / 64
        self._add("user_report", "about", subject.key, {"who": who, "weight": weight}, at)
        self._add("user_report", "who", who, {"who": who}, at)
        reporters = self._items.setdefault(subject.key, _Item()).reporters
        if who is not None and (who, body.harm) not in reporters:
            reporters.append((who, body.harm))
        self._once_known("user_report", subject, {"who": who}, at)

    def _decided(self, body: DecisionMade, at: int) -> None:
        subject = body.subject.subject
        self._add("decision", "about", subject.key, {}, at)
        item = self._items.setdefault(subject.key, _Item())
        about = (body.harm, body.content.hash if body.content else item.content)
        before = item.standing.get(about)
        if body.verdict == "escalate" or (before and before[1] == "human" and body.by == "automation"):
            return
        if before and before[1] == body.by and at < before[2]:
            return
        if before and before[0] == body.verdict:
            item.standing[about] = (before[0], body.by, at, *before[3:])
            return
        reporters = sorted({who for who, harm in item.reporters if harm in (None, body.harm)})
        stands = (body.verdict, body.by, at, at, self.links(subject), reporters)
        item.standing[about] = stands
        for standing, times in ((before, -1), (stands, 1)):
            if standing is not None:
                verdict, _, _, then, links, who = standing
                self._credit(verdict == "violating", links, who, at, then, times)

    def _credit(
        self, bad: bool, links: Sequence[str | None], reporters: Sequence[str], at: int, then: int, times: int
    ) -> None:
        self._add("verdict", "creator", links[0], {"violating": bad}, at, then, times)
        for key in links[2:]:
            self._add("verdict", "text", key, {"violating": bad}, at, then, times)
        for who in reporters:
            self._record.setdefault(who, [0, 0])[0 if bad else 1] += times
            self._add("report_verdict", "who", who, {"confirmed": bad}, at, then, times)

    def _happened(self, body: Happened, at: int) -> None:
        subject, who = body.subject.subject, body.account_id
        values = {**body.fields, "who": who, "about": subject.key, "hour": _hour(at)}
        self._add(body.kind, "about", subject.key, values, at)
        self._add(body.kind, "who", who, values, at)
        for name, value in body.fields.items():
            key = as_key(value)
            self._add(body.kind, name, key, values, at)
            self.given[body.kind, "about", subject.key, name] = key
            owner = subject.id if who is None and subject.type_id == "account" else who
            if owner is not None:
                self.given[body.kind, "who", owner, name] = key
        self._once_known(body.kind, subject, values, at)


def as_text(value: FieldValue) -> str:
    """A value as an element: 5 and 5.0 are the same, and so are 0 and -0."""
    return str(float(value) or 0.0) if type(value) in (int, float) else str(value)


def as_key(value: FieldValue) -> str:
    """A value as the key of a row."""
    return (
        as_text(value) if len(as_text(value)) <= 256 else blake2b(as_text(value).encode(), digest_size=16).hexdigest()
    )


def _hour(at: int) -> int:
    return at // clock.HOUR % 24

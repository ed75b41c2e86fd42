"""The events of a simulated platform, hour by hour, with what the simulation leaves out.

Three senders share the accounts, comments state their language, and have the genre of what they are under.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from leads import clock
from leads.clock import Micros
from leads.events import Body, DecisionMade, ItemCreated, RecordedEvent, SignalReceived, decode_recorded
from simulation.history import load_manifest

Events = list[RecordedEvent]

GENRES = ("news", "talk", "music", "comedy", "sports")
# Of twenty accounts each: three use a partner's app, three the website, the others the mobile app.
_PARTNER, _WEB, _OF = 3, 6, 20
_REVIEWS, _REPORTS = _SYSTEMS = ("reviews", "reports")
# Of a hundred accounts, these write in German.
_GERMAN = 30


class Simulated:
    """Reads a simulation in order.

    Args:
        folder: that of the simulation.
    """

    def __init__(self, folder: Path) -> None:
        self._left = _read(folder)
        self._next = next(self._left, None)

    def before(self, until: Micros) -> Events:
        """The events that become visible before `until`, and that weren't read yet."""
        found = []
        while self._next is not None and self._next.visible_at < until:
            found.append(described(self._next))
            self._next = next(self._left, None)
        return found


def sender_of(event: RecordedEvent) -> str:
    """Who sends an event: the app of the account, or the system that takes reports, or the one of the reviewers."""
    body = event.body
    if isinstance(body, DecisionMade):
        return _REVIEWS
    if isinstance(body, SignalReceived) or body.account_id is None:
        return _REPORTS
    place = crc32(body.account_id.encode()) % _OF
    return "partner" if place < _PARTNER else "web" if place < _WEB else "mobile"


def language_of(account_id: str | None) -> str:
    """The language in which an account writes."""
    return "de" if crc32(f"language of {account_id}".encode()) % 100 < _GERMAN else "en"


def described(event: RecordedEvent) -> RecordedEvent:
    """The event; a comment states its language and genre."""
    body = comment_of(event)
    if body is None:
        return event
    parent = "" if body.parent is None else body.parent.id
    fields = {"language": language_of(body.account_id), "genre": GENRES[crc32(parent.encode()) % len(GENRES)]}
    return with_body(event, msgspec.structs.replace(body, fields=fields))


def comment_of(event: RecordedEvent) -> ItemCreated | None:
    """The comment that an event creates; None if it is another event."""
    body = event.body
    return body if isinstance(body, ItemCreated) and body.subject.type_id == "comment" else None


def with_body(event: RecordedEvent, body: Body) -> RecordedEvent:
    """The event with another body."""
    return msgspec.structs.replace(event, body=body)


def batches(events: Events, every: Micros = 10 * clock.MINUTE) -> Iterator[tuple[str, Events]]:
    """The events as their senders send them, in order: each sends what it has every few minutes.

    The apps come first, so that no report comes before what it is about.
    """
    found: dict[tuple[Micros, bool, str], Events] = {}
    for event in events:
        sender = sender_of(event)
        found.setdefault((event.visible_at // every, sender in _SYSTEMS, sender), []).append(event)
    for (_, _, sender), some in sorted(found.items(), key=lambda one: one[0]):
        yield sender, some


def _read(folder: Path) -> Iterator[RecordedEvent]:
    for period in load_manifest(folder).periods:
        with (folder / period.file).open("rb") as lines:
            yield from map(decode_recorded, lines)

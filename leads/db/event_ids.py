"""Event ids: an id belongs to its sender, who may send the same event again but not another one under the same id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from leads.db.tables import LEGACY_SENDER, events
from leads.errors import Conflict, InvalidInput, together
from leads.events import Event, decode_event, encode

# The sender of events that Lead Serving itself makes, such as decisions. No key and no file may use it.
OWN_SENDER = "leads"
RESERVED_SENDERS = frozenset((OWN_SENDER, LEGACY_SENDER))
_SENDER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_BODY = 16
_CHUNK = 5_000


class Sent(NamedTuple):
    """What a sender sent under an id: the event, and whether the sender stated its time.

    An event without a stated time occurred when it arrived. Sent again, it arrives later and is still the same event:
    two events are the same if their bodies are equal, and their times where both were stated.
    """

    event: Event
    timed: bool = True

    @property
    def hash(self) -> bytes:
        """128 bits over the body, then eight bytes with the stated time, if any."""
        body = hashlib.blake2b(encode(self.event.body), digest_size=_BODY).digest()
        return body + self.event.occurred_at.to_bytes(8, "big") if self.timed else body


def check_sender(sender: str) -> None:
    """Raises InvalidInput when `sender` is not a sender's name, or a reserved one."""
    if sender in RESERVED_SENDERS or not _SENDER.fullmatch(sender):
        raise InvalidInput(
            f"{sender!r} can't be a sender.",
            field="--sender",
            remedy="Use up to 64 lower-case letters, digits, dots, hyphens and underscores; "
            f"{' and '.join(sorted(RESERVED_SENDERS))} are reserved.",
        )


def unknown_among(connection: Connection, sender: str, sent: Sequence[Sent]) -> dict[int, bytes]:
    """The positions and hashes of the events in `sent` that are not in the log yet, each event once.

    Raises:
        Conflict: an id stands for another event, in the log or in `sent`. Its `faults` name the events as `/3/id`.
    """
    known = _known(connection, sender, [one.event.id for one in sent])
    found: dict[int, bytes] = {}
    conflicts = []
    for i, one in enumerate(sent):
        hash_, before = one.hash, known.get(one.event.id)
        if before is None:
            known[one.event.id] = hash_
            found[i] = hash_
        elif not _is(one, hash_, before):
            conflicts.append(i)
    if conflicts:
        raise together([_conflict(i, sent[i].event.id) for i in conflicts])
    return found


def taken_in(connection: Connection, sender: str, sent: Sequence[Sent]) -> list[int]:
    """The positions of the events in `sent` whose id stands for another event in the log."""
    known = _known(connection, sender, [one.event.id for one in sent])
    found = ((i, known.get(one.event.id)) for i, one in enumerate(sent))
    return [i for i, before in found if before is not None and not _is(sent[i], sent[i].hash, before)]


def ids_in_log(connection: Connection, sender: str, ids: Sequence[str]) -> frozenset[str]:
    """Which of the ids the log has for events of this sender."""
    return frozenset(_known(connection, sender, ids))


def taken_message(id_: str) -> str:
    """What is wrong with an id that stands for another event."""
    return f"The event id {id_!r} is already used for another event."


def _known(connection: Connection, sender: str, ids: Sequence[str]) -> dict[str, Row[Any] | bytes]:
    """What is in the log under these ids: from this sender, or from before senders were kept."""
    known: dict[str, Row[Any] | bytes] = {}
    for start in range(0, len(ids), _CHUNK):
        rows = connection.execute(_select(sender, ids[start : start + _CHUNK])).all()
        # The sender's own event comes last, so that it wins over an older one of an unknown sender.
        known.update((row.id, row) for row in sorted(rows, key=lambda row: bool(row.sender == sender)))
    return known


def _is(sent: Sent, hash_: bytes, known: Row[Any] | bytes) -> bool:
    before = known if isinstance(known, bytes) else known.body_hash
    if before is not None:
        both_timed = len(before) == len(hash_) > _BODY
        return bool(before == hash_ if both_timed else before[:_BODY] == hash_[:_BODY])
    assert not isinstance(known, bytes)
    stored = decode_event(known.raw)
    return stored.body == sent.event.body and (not sent.timed or stored.occurred_at == sent.event.occurred_at)


def _conflict(place: int, id_: str) -> Conflict:
    return Conflict(
        taken_message(id_),
        field=f"/{place}/id",
        remedy="Nothing was stored. Give every event an id of its own, and send an event again only unchanged.",
    )


def _select(sender: str, ids: Sequence[str]) -> sa.Select[Any]:
    # Rows with a hash are compared by it; only older ones need their content.
    raw = sa.case((events.c.body_hash.is_(None), events.c.raw)).label("raw")
    return sa.select(events.c.id, events.c.sender, events.c.body_hash, raw).where(
        events.c.sender.in_((sender, LEGACY_SENDER)), events.c.id.in_(ids)
    )

"""Messages of the outbox: written in the transaction of their cause, taken one at a time, and ended.

Messages of a topic with the same key are taken in the order in which they were written: none is taken while an earlier
one waits or is being sent. Whoever takes a message has it for a while; if they die, somebody else takes it then. So a
message is sent at least once.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.db.outbox.tables import outbox

# The condition of the partial index, repeated literally.
_WAITING = sa.text("outbox.done_at IS NULL")


class Message(NamedTuple):
    """A message. Times are µs.

    Args:
        tries: how often it was taken, this time included.
        done_at: when it was delivered or, with an `error`, given up; None while it waits.
    """

    seq: int
    topic: str
    key: str
    body: bytes
    created_at: Micros
    next_at: Micros
    tries: int
    done_at: Micros | None
    error: str | None

    @property
    def id(self) -> str:
        """Names it for receivers: the same for each try, and another one for every other message of any platform."""
        made = blake2b(f"{self.seq}.{self.created_at}.{self.topic}.{self.key}.".encode(), digest_size=12)
        made.update(self.body)
        return f"msg_{made.hexdigest()}"


_COLUMNS = [outbox.c[name] for name in Message._fields]


def put(connection: Connection, topic: str, key: str, body: bytes, now: Micros) -> int:
    """Write a message in the caller's transaction; returns its `seq`."""
    values = {"topic": topic, "key": key, "body": body, "created_at": now, "next_at": now}
    made = connection.execute(sa.insert(outbox).values(**values)).inserted_primary_key
    assert made is not None
    return int(made[0])


def take(engine: Engine, topics: Collection[str], now: Micros, hold: Micros) -> Message | None:
    """Take the message of these topics that has waited longest; None if none is due.

    Args:
        hold: how long the caller has it. Afterwards somebody else may take it.
    """
    earlier = outbox.alias("earlier")
    waits_for = (
        sa.select(sa.literal(1))
        .select_from(earlier)
        .where(
            earlier.c.topic == outbox.c.topic,
            earlier.c.key == outbox.c.key,
            earlier.c.seq < outbox.c.seq,
            sa.text("earlier.done_at IS NULL"),
        )
        .exists()
    )
    due = (
        sa.select(outbox.c.seq)
        .where(_WAITING, outbox.c.next_at <= now, outbox.c.topic.in_(sorted(topics)), ~waits_for)
        .order_by(outbox.c.next_at, outbox.c.seq)
        .limit(1)
        # Others pass over the row instead of waiting for it. SQLite has one writer at a time.
        .with_for_update(skip_locked=True, of=outbox)
    )
    with engine.begin() as connection:
        seq = connection.execute(due).scalar()
        if seq is None:
            return None
        held = sa.update(outbox).where(outbox.c.seq == seq)
        connection.execute(held.values(tries=outbox.c.tries + 1, next_at=now + hold))
        return Message(*connection.execute(sa.select(*_COLUMNS).where(outbox.c.seq == seq)).one())


def finish(engine: Engine, message: Message, now: Micros, *, error: str | None = None) -> None:
    """Record that a message was delivered or, with an `error`, given up."""
    with engine.begin() as connection:
        values = {"done_at": now, "error": error}
        connection.execute(sa.update(outbox).where(outbox.c.seq == message.seq).values(**values))


def postpone(engine: Engine, message: Message, next_at: Micros, error: str) -> None:
    """Record why a message wasn't delivered, and when to try again. Does nothing if somebody else has taken it."""
    of = (outbox.c.seq == message.seq) & (outbox.c.tries == message.tries) & outbox.c.done_at.is_(None)
    with engine.begin() as connection:
        connection.execute(sa.update(outbox).where(of).values(next_at=next_at, error=error))


def next_at(connection: Connection, topics: Collection[str]) -> Micros | None:
    """When the next message of these topics is due; None if none waits."""
    query = sa.select(sa.func.min(outbox.c.next_at)).where(_WAITING, outbox.c.topic.in_(sorted(topics)))
    found: Micros | None = connection.execute(query).scalar()
    return found


class Backlog(NamedTuple):
    """What waits: how many messages, and when the oldest was written (µs; None if none waits)."""

    waiting: int
    oldest: Micros | None


def backlog(connection: Connection) -> Backlog:
    """What waits in the outbox."""
    query = sa.select(sa.func.count(), sa.func.min(outbox.c.created_at)).where(_WAITING)
    return Backlog(*connection.execute(query).one())


def give_up(engine: Engine, topic: str, now: Micros, error: str) -> int:
    """Give up every waiting message of a topic, because nobody receives it any more; returns their number."""
    waiting = sa.update(outbox).where(outbox.c.done_at.is_(None), outbox.c.topic == topic)
    with engine.begin() as connection:
        return connection.execute(waiting.values(done_at=now, error=error)).rowcount

"""Sends what waits in the outbox, and tries again what fails, with growing pauses."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Clock, Micros
from leads.db.engine import reading
from leads.db.outbox import messages
from leads.db.outbox.messages import Message

# The pauses after each failed try; then a message is given up, after about three days.
PAUSES: tuple[Micros, ...] = (
    5 * clock.SECOND,
    5 * clock.MINUTE,
    30 * clock.MINUTE,
    2 * clock.HOUR,
    5 * clock.HOUR,
    10 * clock.HOUR,
    14 * clock.HOUR,
    20 * clock.HOUR,
    24 * clock.HOUR,
)
MAX_PAUSE: Micros = 24 * clock.HOUR
# Pauses vary by this share, so that messages that failed together aren't all tried again together.
_JITTER = 0.1
# How long a message belongs to whoever takes it: longer than any try takes.
HOLD: Micros = 2 * clock.MINUTE
_log = logging.getLogger(__name__)


class Result(NamedTuple):
    """What came of a try.

    Args:
        error: why the message wasn't delivered; None: it was.
        final: trying again is useless.
        retry_after: how long the receiver wants to be left alone, µs.
    """

    error: str | None = None
    final: bool = False
    retry_after: Micros = 0


Send = Callable[[Message], Result]


class Deliveries(NamedTuple):
    """What a round did, in messages."""

    delivered: int
    postponed: int
    given_up: int


def deliver(
    engine: Engine,
    receivers: Mapping[str, Send],
    *,
    clock_: Clock = clock.now,
    limit: int = 100,
    draw: Callable[[], float] = random.random,
) -> Deliveries:
    """Send the messages that are due, at most `limit`.

    Several processes may do this at the same time. Each message is sent at least once, in the order of its key.

    Args:
        receivers: who sends the messages of a topic. Those of other topics wait.
        draw: a random number from 0 to 1.

    Raises:
        Unavailable: the database doesn't respond.
    """
    with reading(engine) as connection:
        due = messages.next_at(connection, tuple(receivers))
    # Looking takes no lock.
    if due is None or due > clock_():
        return Deliveries(0, 0, 0)
    counts = [0, 0, 0]
    for _ in range(limit):
        message = messages.take(engine, tuple(receivers), clock_(), HOLD)
        if message is None:
            break
        counts[_try(engine, message, receivers[message.topic], clock_, draw)] += 1
    return Deliveries(*counts)


def _try(engine: Engine, message: Message, send: Send, clock_: Clock, draw: Callable[[], float]) -> int:
    """The place of the outcome in `Deliveries`."""
    result = send(message)
    if result.error is None:
        messages.finish(engine, message, clock_())
        return 0
    if result.final or message.tries > len(PAUSES):
        messages.finish(engine, message, clock_(), error=result.error)
        text = "message %s (%s) is given up after %d tries: %s"
        _log.error(text, message.id, message.topic, message.tries, result.error)
        return 2
    pause = PAUSES[message.tries - 1] * (1 - _JITTER + 2 * _JITTER * draw())
    wait = min(max(round(pause), result.retry_after), MAX_PAUSE)
    messages.postpone(engine, message, clock_() + wait, result.error)
    _log.warning("message %s (%s) wasn't delivered: %s", message.id, message.topic, result.error)
    return 1

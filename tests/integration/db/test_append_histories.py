"""Random histories of several senders: what was acknowledged is in the log exactly once, what was refused is not."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.db import deadline, event_log
from leads.db.engine import open_engine, reading
from leads.db.tables import events
from leads.errors import Conflict, LeadsError, Unavailable
from leads.events import Event, ItemCreated, SubjectRef, decode_event
from leads.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AT = 1_780_000_000_000_000
HISTORIES, KILLED = 2_000, 50


class Sent(NamedTuple):
    """An event as its sender stated it: without a time where `at` is None."""

    id: str
    text: str
    at: int | None

    def event(self, arrived: int) -> Event:
        body = ItemCreated(SubjectRef("comment", "c1"), text=self.text)
        return Event(self.id, arrived if self.at is None else self.at, body)

    def same(self, other: Sent) -> bool:
        return self.text == other.text and (None in (self.at, other.at) or self.at == other.at)


class Expected:
    """The log as the rules say it must be, kept apart from the code under test."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], Sent] = {}

    def append(self, sender: str, batch: list[Sent]) -> int | None:
        """The number of accepted events; None if the batch is refused, which changes nothing."""
        added: dict[tuple[str, str], Sent] = {}
        for one in batch:
            key = (sender, one.id)
            before = self.known.get(key) or added.get(key)
            if before is None:
                added[key] = one
            elif not before.same(one):
                return None
        self.known |= added
        return len(added)


def a_batch(rng: random.Random) -> list[Sent]:
    at = rng.choice((None, AT, AT, AT - 5))
    return [Sent(f"e{rng.randrange(3)}", rng.choice("ab"), at) for _ in range(rng.randint(1, 3))]


def append(engine: Engine, sender: str, batch: list[Sent], now: int = AT) -> event_log.Appended:
    new = [one.event(now) for one in batch]
    with deadline.transaction(engine) as connection:
        untimed = {one.id for one in batch if one.at is None}
        return event_log.append(connection, sender, new, untimed=untimed, clock_=lambda: now)


def test_histories_of_appends_follow_the_rules(any_engine: Engine) -> None:
    expected = Expected()
    for seed in range(HISTORIES):
        rng = random.Random(seed)
        senders = [f"h{seed}.{i}" for i in range(2)]
        for step in range(rng.randint(2, 4)):
            sender, batch = rng.choice(senders), a_batch(rng)
            wanted = expected.append(sender, batch)
            if wanted is None:
                with pytest.raises(Conflict):
                    append(any_engine, sender, batch)
            else:
                appended = append(any_engine, sender, batch, now=AT + step)
                assert (appended.accepted, appended.duplicates) == (wanted, len(batch) - wanted), (seed, batch)
    with reading(any_engine) as connection:
        stored = connection.execute(sa.select(events.c.sender, events.c.id, events.c.raw)).all()
    assert len(stored) == len(expected.known)
    bodies = {(row.sender, row.id): decode_event(row.raw).body for row in stored}
    assert bodies == {key: one.event(AT).body for key, one in expected.known.items()}


@contextmanager
def appending(settings: Settings, sender: str) -> Iterator[tuple[int, int]]:
    """A process that appends event after event and says for each, as one byte, how it ended. Gives its pid and pipe."""
    heard, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            os.close(heard)
            engine = open_engine(settings, timeout_s=1.0)
            for n in range(100_000):
                # Each request may take a quarter of a second, which is less than the lock is sometimes held.
                token = deadline.set_deadline(0.25)
                try:
                    append(engine, sender, [Sent(f"e{n}", "x", None)], now=time.time_ns() // 1_000)
                    os.write(says, b"y")
                except Unavailable:
                    os.write(says, b"n")
                finally:
                    deadline.reset(token)
        os._exit(1)
    os.close(says)
    try:
        yield pid, heard
    finally:
        os.close(heard)


def hold_up(engine: Engine, seconds: float) -> None:
    """Hold the log's lock, as a slow writer does."""
    with suppress(LeadsError), engine.begin() as connection:
        event_log.lock_head(connection)
        time.sleep(seconds)


def test_kills_and_time_outs_neither_lose_nor_double_an_event(any_settings: Settings, any_engine: Engine) -> None:
    refused = 0
    for seed in range(0, KILLED, 2):
        rng, senders = random.Random(seed), (f"k{seed}", f"k{seed + 1}")
        with appending(any_settings, senders[0]) as first, appending(any_settings, senders[1]) as second:
            # The first answer shows that a process is at work.
            answers = [os.read(heard, 1) for _, heard in (first, second)]
            for _ in range(rng.randint(1, 2)):
                hold_up(any_engine, rng.choice((0.0, 0.01, 0.4)))
                time.sleep(rng.uniform(0, 0.03))
            for i, (pid, heard) in enumerate((first, second)):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                while more := os.read(heard, 65_536):
                    answers[i] += more
        for sender, answer in zip(senders, answers, strict=True):
            refused += answer.count(b"n")
            with reading(any_engine) as connection:
                stored = connection.execute(sa.select(events.c.id).where(events.c.sender == sender)).scalars().all()
            assert len(stored) == len(set(stored))
            acknowledged = {f"e{n}" for n, one in enumerate(answer) if one == ord("y")}
            # The process may have been killed between a commit and its answer.
            assert acknowledged <= set(stored) <= acknowledged | {f"e{len(answer)}"}, sender
    assert refused > 0

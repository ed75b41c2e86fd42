"""The outbox: at least once, in order, by one process at a time, with growing pauses, and never for ever."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.outbox import messages
from leads.db.outbox.messages import Message
from leads.db.outbox.tables import outbox
from leads.outbox.delivery import HOLD, PAUSES, Deliveries, Result, deliver

NOW = 1_780_012_800_000_000


@pytest.fixture
def engine(any_engine: Engine) -> Engine:
    return any_engine


class Receiver:
    """Answers what it is told to, and keeps what it gets."""

    def __init__(self, *results: Result) -> None:
        self.results = list(results)
        self.got: list[Message] = []

    def __call__(self, message: Message) -> Result:
        self.got.append(message)
        return self.results.pop(0) if self.results else Result()

    @property
    def bodies(self) -> list[str]:
        return [one.body.decode() for one in self.got]


def put(engine: Engine, body: str, *, key: str = "k", topic: str = "t", now: Micros = NOW) -> int:
    with engine.begin() as connection:
        return messages.put(connection, topic, key, body.encode(), now)


def send(engine: Engine, receiver: Receiver, now: Micros = NOW, **options: int) -> Deliveries:
    return deliver(engine, {"t": receiver}, clock_=lambda: now, draw=lambda: 0.5, **options)


def states(engine: Engine) -> list[tuple[str, int, bool, str | None]]:
    query = sa.select(outbox.c.body, outbox.c.tries, outbox.c.done_at, outbox.c.error).order_by(outbox.c.seq)
    with reading(engine) as connection:
        return [
            (body.decode(), tries, done is not None, error) for body, tries, done, error in connection.execute(query)
        ]


FAILED = Result("it failed")


def test_messages_are_sent_once_in_order(engine: Engine) -> None:
    for body in "abc":
        put(engine, body)
    receiver = Receiver()
    assert send(engine, receiver) == Deliveries(3, 0, 0)
    assert send(engine, receiver) == Deliveries(0, 0, 0)
    assert receiver.bodies == ["a", "b", "c"]
    assert states(engine) == [("a", 1, True, None), ("b", 1, True, None), ("c", 1, True, None)]


def test_a_message_waits_for_the_earlier_ones_of_its_key(engine: Engine) -> None:
    put(engine, "a1", key="a")
    put(engine, "a2", key="a")
    put(engine, "b1", key="b")
    receiver = Receiver(FAILED)
    assert send(engine, receiver) == Deliveries(1, 1, 0)
    assert receiver.bodies == ["a1", "b1"]
    later = NOW + PAUSES[0]
    assert send(engine, receiver, later) == Deliveries(2, 0, 0)
    assert receiver.bodies == ["a1", "b1", "a1", "a2"]


def test_pauses_grow_and_a_message_is_given_up_after_about_three_days(engine: Engine) -> None:
    put(engine, "a")
    put(engine, "b")
    receiver, now = Receiver(*[FAILED] * (len(PAUSES) + 1)), NOW
    for pause in PAUSES:
        assert send(engine, receiver, now) == Deliveries(0, 1, 0)
        assert send(engine, receiver, now + pause - 1) == Deliveries(0, 0, 0)
        now += pause
    assert 3 * clock.DAY < now - NOW < 3.2 * clock.DAY
    assert send(engine, receiver, now) == Deliveries(1, 0, 1)
    assert states(engine) == [("a", len(PAUSES) + 1, True, "it failed"), ("b", 1, True, None)]


def test_the_id_is_the_same_for_each_try_and_another_one_for_each_message(engine: Engine) -> None:
    put(engine, "same")
    put(engine, "same")
    receiver = Receiver(FAILED)
    send(engine, receiver)
    send(engine, receiver, NOW + PAUSES[0])
    first, again, second = (one.id for one in receiver.got)
    assert first == again != second


def test_pauses_vary_a_little(engine: Engine) -> None:
    put(engine, "a")
    deliver(engine, {"t": Receiver(FAILED)}, clock_=lambda: NOW, draw=lambda: 1.0)
    with reading(engine) as connection:
        assert messages.next_at(connection, ("t",)) == NOW + round(1.1 * PAUSES[0])


def test_a_receiver_may_ask_for_a_longer_pause(engine: Engine) -> None:
    put(engine, "a")
    send(engine, Receiver(Result("slow down", retry_after=clock.HOUR)))
    with reading(engine) as connection:
        assert messages.next_at(connection, ("t",)) == NOW + clock.HOUR


def test_a_final_answer_ends_it(engine: Engine) -> None:
    put(engine, "a")
    assert send(engine, Receiver(Result("gone", final=True))) == Deliveries(0, 0, 1)
    assert states(engine) == [("a", 1, True, "gone")]


def test_who_dies_while_sending_holds_a_message_only_for_a_while(engine: Engine) -> None:
    put(engine, "a")
    assert messages.take(engine, ["t"], NOW, HOLD) is not None
    receiver = Receiver()
    assert send(engine, receiver, NOW + HOLD - 1) == Deliveries(0, 0, 0)
    assert send(engine, receiver, NOW + HOLD) == Deliveries(1, 0, 0)
    assert [one.tries for one in receiver.got] == [2]


def test_who_was_slower_than_that_does_not_undo_what_the_next_one_did(engine: Engine) -> None:
    put(engine, "a")
    slow = messages.take(engine, ["t"], NOW, HOLD)
    assert slow is not None
    send(engine, Receiver(), NOW + HOLD)
    messages.postpone(engine, slow, NOW, "too late")
    assert states(engine) == [("a", 2, True, None)]


def test_several_processes_share_the_messages(engine: Engine) -> None:
    for i in range(30):
        put(engine, str(i), key=str(i % 7))
    receivers = [Receiver() for _ in range(3)]
    threads = [threading.Thread(target=send, args=(engine, receiver)) for receiver in receivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A process ends when nothing is due; what others hold then may wait behind.
    send(engine, receivers[0])
    assert sorted((body for one in receivers for body in one.bodies), key=int) == [str(i) for i in range(30)]


def test_messages_of_other_topics_wait(engine: Engine) -> None:
    put(engine, "x", topic="other")
    put(engine, "a")
    receiver = Receiver()
    assert send(engine, receiver) == Deliveries(1, 0, 0)
    with reading(engine) as connection:
        assert messages.backlog(connection) == (1, NOW)
    assert messages.give_up(engine, "other", NOW, "nobody") == 1
    assert states(engine)[0] == ("x", 0, True, "nobody")


def test_a_message_is_written_with_its_cause_or_not_at_all(engine: Engine) -> None:
    def fail() -> None:
        with engine.begin() as connection:
            messages.put(connection, "t", "k", b"a", NOW)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert states(engine) == []

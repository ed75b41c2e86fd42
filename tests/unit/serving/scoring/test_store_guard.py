"""The guard returns or fails within the deadline, whatever the reader does, and spares a failing store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import pytest

from features.links import Links
from features.online.reader import Fetched
from leads.breaker import IN_A_ROW, MAX_S, Breaker
from leads.errors import ConfigurationError, Unavailable
from leads.events import Subject
from serving.scoring import store_guard
from serving.scoring.store_guard import GuardedReader
from tests.support.serving.world import FakeReader

C1 = Subject("comment", "c1")


class StuckReader(FakeReader):
    """While `stuck` is set, a look-up ends only when `let_go` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.stuck = False
        self.entered = threading.Semaphore(0)
        self.threads: set[str] = set()
        self.closed = threading.Event()
        self._way = threading.Event()

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched:
        self.threads.add(str(threading.get_ident()))
        self.entered.release()
        if self.stuck:
            self._way.wait()
        return super().fetch(list(subjects), list(known) if known else None)

    def let_go(self) -> None:
        self.stuck = False
        self._way.set()

    def close(self) -> None:
        self.closed.set()
        if self.stuck:
            self._way.wait()


class Timer:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def reader() -> Iterator[StuckReader]:
    made = StuckReader()
    yield made
    made.let_go()


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def guarded(reader: StuckReader, timer: Timer) -> Callable[..., GuardedReader]:
    def make(timeout_s: float = 0.02, threads: int = 32) -> GuardedReader:
        breaker = Breaker("The store", remedy="", timer=timer, chance=lambda: 0.0)
        return GuardedReader(reader, timeout_s=timeout_s, breaker=breaker, threads=threads)

    return make


def patient(guard: GuardedReader) -> GuardedReader:
    """Raise the deadline so that it plays no part, because shared machines stall."""
    guard._timeout_s = 30.0
    return guard


def refused(guard: GuardedReader) -> Unavailable:
    with pytest.raises(Unavailable) as error:
        guard.fetch([C1])
    return error.value


def test_it_returns_what_the_reader_returns(guarded: Callable[..., GuardedReader], reader: StuckReader) -> None:
    guard = guarded(timeout_s=30)
    known = [Links("a1", "track:t1")]
    fetched = guard.fetch([C1], known)
    assert (fetched.links, reader.asked) == (known, [(C1, known[0])])
    assert set(fetched.packed) == set(FakeReader().fetch([C1]).packed)
    assert guard.fetch([]).links == []
    assert (guard.errors, guard.timeouts, guard.short_circuited, guard.open) == (0, 0, 0, False)
    guard.close()


def test_one_thread_serves_sequential_calls(guarded: Callable[..., GuardedReader], reader: StuckReader) -> None:
    guard = guarded(timeout_s=30)
    for _ in range(50):
        guard.fetch([C1])
    assert len(reader.threads) == 1
    guard.close()


def test_concurrent_calls_get_their_own_rows(guarded: Callable[..., GuardedReader], reader: StuckReader) -> None:
    guard, wrong = guarded(timeout_s=30), []

    def work(who: str) -> None:
        known = [Links(who, None)]
        wrong.extend(who for _ in range(100) if guard.fetch([C1], known).links != known)

    threads = [threading.Thread(target=work, args=(f"a{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(reader.threads) <= 8
    guard.close()


def test_a_stuck_store_costs_a_few_deadlines_until_the_breaker_opens(
    guarded: Callable[..., GuardedReader], reader: StuckReader, timer: Timer
) -> None:
    guard = guarded()
    reader.stuck = True
    assert str(refused(guard)).startswith("The online feature store didn't respond within 0.02 s.")
    for _ in range(20):
        refused(guard)
    assert (guard.open, guard.timeouts, guard.short_circuited) == (True, IN_A_ROW, 21 - IN_A_ROW)
    assert all(reader.entered.acquire(timeout=30) for _ in range(IN_A_ROW))
    assert len(reader.threads) == IN_A_ROW
    timer.now += MAX_S
    refused(guard)
    assert guard.timeouts == IN_A_ROW + 1
    reader.let_go()
    timer.now += MAX_S
    assert patient(guard).fetch([C1]).links == [Links()]
    assert not guard.open
    guard.close()


def test_stuck_threads_are_bounded_and_work_again_once_let_go(
    guarded: Callable[..., GuardedReader], reader: StuckReader, timer: Timer
) -> None:
    guard = guarded(threads=5)
    reader.stuck = True
    for _ in range(20):
        refused(guard)
        timer.now += 2 * MAX_S
    assert all(reader.entered.acquire(timeout=30) for _ in range(5))
    assert len(reader.threads) == 5
    assert guard.timeouts == 20
    assert guard.open
    reader.let_go()
    # The threads become free in a moment, not immediately.
    while guard.open:
        timer.now += 2 * MAX_S
        with suppress(Unavailable):
            patient(guard).fetch([C1])
    assert len(reader.threads) == 5
    guard.close()


def test_a_late_answer_is_discarded(guarded: Callable[..., GuardedReader], reader: StuckReader) -> None:
    guard = guarded()
    reader.stuck = True
    refused(guard)
    reader.let_go()
    assert patient(guard).fetch([C1], [Links("a2", None)]).links == [Links("a2", None)]
    guard.close()


def test_errors_open_the_breaker_too(guarded: Callable[..., GuardedReader], reader: StuckReader) -> None:
    guard = guarded(timeout_s=30)
    reader.error = Unavailable("The Redis online store doesn't answer.", remedy="Check that it runs.")
    for _ in range(IN_A_ROW):
        assert refused(guard) is reader.error
    assert refused(guard) is not reader.error
    assert (guard.open, guard.errors, guard.timeouts, guard.short_circuited) == (True, IN_A_ROW, 0, 1)
    guard.close()


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"secret", 0, 1, "invalid"),
        IndexError("list index out of range"),
        TypeError("secret"),
        ValueError("secret"),
        OSError("secret"),
    ],
)
def test_unreadable_data_is_unavailable(
    guarded: Callable[..., GuardedReader],
    reader: StuckReader,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard = guarded(timeout_s=30)
    reader.error = error
    for _ in range(IN_A_ROW):
        assert type(error).__name__ in str(refused(guard))
    assert guard.errors == IN_A_ROW
    assert type(error).__name__ in caplog.text
    assert "secret" not in caplog.text
    guard.close()


def test_configuration_errors_are_raised_and_dont_open_the_breaker(
    guarded: Callable[..., GuardedReader], reader: StuckReader
) -> None:
    guard = guarded(timeout_s=30)
    reader.error = ConfigurationError("An option is wrong.")
    for _ in range(IN_A_ROW + 1):
        with pytest.raises(ConfigurationError):
            guard.fetch([C1])
    assert not guard.open
    guard.close()


def test_warming_up_connects_and_only_logs_errors(
    guarded: Callable[..., GuardedReader], reader: StuckReader, caplog: pytest.LogCaptureFixture
) -> None:
    guard = guarded(timeout_s=30)
    guard.warm_up()
    assert len(reader.asked) == 1
    assert caplog.text == ""
    reader.error = Unavailable("down")
    for _ in range(IN_A_ROW + 1):
        guard.warm_up()
    assert "starting without the online store: down" in caplog.text
    assert not guard.open
    guard.close()


def test_closing_does_not_wait_for_a_stuck_store(guarded: Callable[..., GuardedReader], reader: StuckReader) -> None:
    guard = guarded()
    reader.stuck = True
    refused(guard)
    guard.close()
    assert reader.closed.wait(30)
    with pytest.raises(Unavailable, match="closed"):
        guard.fetch([C1])
    guard.close()


def test_threads_end_with_the_guard(guarded: Callable[..., GuardedReader], reader: StuckReader) -> None:
    def alive() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if str(thread.ident) in reader.threads}

    guard = guarded(timeout_s=30)
    guard.fetch([C1])
    reader.stuck = True
    guard._timeout_s = 0.02
    refused(guard)
    guard.close()
    reader.let_go()
    for thread in alive():
        thread.join(30)
    assert alive() == set()


def test_a_healthy_bounded_store_is_read_in_the_callers_thread_until_it_fails() -> None:
    class Scripted:
        """Returns nothing, or raises `error`, and notes the thread."""

        def __init__(self) -> None:
            self.error: Exception | None = None
            self.threads: list[str] = []

        def fetch(self, subjects: Sequence[Subject], known: object = None) -> Fetched:
            self.threads.append(threading.current_thread().name)
            if self.error is not None:
                raise self.error
            return Fetched({}, np.zeros((len(subjects), 0), np.int64), [])

        def close(self) -> None:
            pass

    here = threading.current_thread().name
    for bounded in (True, False):
        scripted = Scripted()
        guard = GuardedReader(scripted, timeout_s=5.0, bounded=bounded)
        while len(scripted.threads) < 60:
            guard.fetch([Subject("comment", "c1")])
        assert (scripted.threads[0] != here, scripted.threads[-1] == here, guard.reads_inline) == (
            True,
            bounded,
            bounded,
        )
        scripted.error = Unavailable("down")
        with pytest.raises(Unavailable):
            guard.fetch([Subject("comment", "c1")])
        scripted.error = None
        assert not guard.reads_inline
        guard.fetch([Subject("comment", "c1")])
        assert scripted.threads[-1] != here
        guard.close()


def test_a_store_that_responds_again_is_noticed_without_requests(
    guarded: Callable[..., GuardedReader], reader: StuckReader, timer: Timer
) -> None:
    guard = patient(guarded())
    guard.probe()
    assert reader.asked == []
    reader.error = Unavailable("down")
    for _ in range(IN_A_ROW):
        refused(guard)
    assert guard.open
    # The cool-down isn't over: a probe now would only be counted as blocked.
    guard.probe()
    assert (guard.errors, guard.short_circuited) == (IN_A_ROW, 0)
    timer.now += MAX_S
    guard.probe()
    assert (guard.errors, guard.open) == (IN_A_ROW + 1, True)
    reader.error = None
    timer.now += MAX_S
    guard.probe()
    assert not guard.open
    guard.close()


def test_probes_run_by_themselves(reader: StuckReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_guard, "_PROBE_S", 0.01)
    guard = GuardedReader(reader, timeout_s=30.0, breaker=Breaker("The store", remedy="", first_s=0.01, max_s=0.01))
    guard.keep_probing()
    reader.error = Unavailable("down")
    while not guard.open:
        with suppress(Unavailable):
            guard.fetch([C1])
    reader.error = None
    deadline = time.monotonic() + 30
    while guard.open and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not guard.open
    guard.close()

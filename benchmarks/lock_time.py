"""For how long a thread keeps Python's lock at a stretch, in processor time, which other processes hardly affect."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

_LOOK_S = 0.0001


class LockTime(NamedTuple):
    """Processor seconds of some work: all of it, and the most between two moments at which another thread ran."""

    total_s: float
    longest_s: float


def lock_time(work: Callable[[], object], *, runs: int = 1) -> LockTime:
    """Run work in a thread, while this thread asks for Python's lock all the time. Returns the best of some runs.

    Each time this thread gets the lock, it reads how much processor time the other one has used. What that used since
    the last time, it used while it kept the lock; or while it didn't need the lock, but then this thread comes back at
    once. If this thread has to wait for a processor, the figure is too high, hence the best of several runs.

    Raises:
        Exception: what the work raised.
    """
    return min((_once(work) for _ in range(runs)), key=lambda one: one.longest_s)


def _once(work: Callable[[], object]) -> LockTime:
    ready, begin, done, seen = (threading.Event() for _ in range(4))
    errors: list[BaseException] = []

    def run() -> None:
        ready.set()
        begin.wait()
        try:
            work()
        except BaseException as error:
            errors.append(error)
        done.set()
        # The clock of a thread that has ended can't be read.
        seen.wait()

    thread = threading.Thread(target=run, name="measured")
    thread.start()
    ready.wait()
    assert thread.ident is not None
    clock = time.pthread_getcpuclockid(thread.ident)
    first = last = time.clock_gettime(clock)
    longest = 0.0
    begin.set()
    while not done.is_set():
        time.sleep(_LOOK_S)
        now = time.clock_gettime(clock)
        longest, last = max(longest, now - last), now
    seen.set()
    thread.join()
    if errors:
        raise errors[0]
    return LockTime(last - first, longest)

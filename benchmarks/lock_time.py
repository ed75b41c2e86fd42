"""For how long a thread keeps Python's lock at a stretch, measured so that other processes hardly affect it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_LOOK_S = 0.0001


class LockTime(NamedTuple):
    """Processor seconds of some work: all of it, and the longest stretch without another thread getting the lock."""

    total_s: float
    longest_s: float


def lock_time(work: Callable[[], object], *, runs: int = 1) -> LockTime:
    """Run work in a thread some times, while this thread asks for Python's lock all the time.

    Each time this thread gets the lock, it reads how much processor time the other one has used since the last time.
    The other one kept the lock meanwhile, except while this thread waited for a processor, which the kernel counts. So
    each stretch was at least as long as the difference, and the longest one of all runs is returned.

    Raises:
        Exception: what the work raised.
    """
    found = [_once(work) for _ in range(runs)]
    return LockTime(min(one.total_s for one in found), max(one.longest_s for one in found))


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
    longest = 0.0
    with _own_waits() as waited:
        first = used = time.clock_gettime(clock)
        waits = waited()
        begin.set()
        while not done.is_set():
            time.sleep(_LOOK_S)
            now, waits_now = time.clock_gettime(clock), waited()
            longest = max(longest, now - used - (waits_now - waits))
            used, waits = now, waits_now
    seen.set()
    thread.join()
    if errors:
        raise errors[0]
    return LockTime(used - first, longest)


@contextmanager
def _own_waits() -> Iterator[Callable[[], float]]:
    """Gives the seconds that this thread has waited for a processor so far; always 0 where the kernel doesn't say."""
    path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    if not path.exists():
        yield lambda: 0.0
        return
    file = os.open(path, os.O_RDONLY)
    try:
        yield lambda: int(os.pread(file, 100, 0).split()[1]) / 1e9
    finally:
        os.close(file)

"""A guard around the online store: a hard deadline per look-up, and a circuit breaker.

A store that ends its reads by itself and has been well for a while is read where the caller is: changing threads takes
longer than such a read. Once it fails or is late, and for any other store, a look-up runs in a thread of the guard's
own, and its caller waits for it no longer than the deadline, whatever the store does: socket timeouts don't end a store
that sends a byte now and then, and nothing ends a read from a stuck file system. A thread that is stuck is left behind;
it works again once the store lets it go. Only so many may be stuck; then look-ups fail at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from features.fold.router import Links
from features.online.reader import Fetched
from leads.breaker import Breaker
from leads.errors import LeadsError, Unavailable
from leads.events import Subject

# Twice as many as there are callers at once, so that a free one is missing only when as many are stuck.
THREADS = 32
# After so many good answers in a row a bounded store counts as well again.
_WELL = 50
_WARM_UP_S = 10.0
_WHAT = "The online feature store"
_REMEDY = "Check that it runs, then try again."
_log = logging.getLogger(__name__)


class Reader(Protocol):
    """`features.online.reader.OnlineReader`, as far as the guard uses it."""

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched: ...

    def close(self) -> None: ...


class GuardedReader:
    """A reader that answers or raises Unavailable by the deadline. Thread-safe.

    Args:
        timeout_s: the deadline of one `fetch`, all its trips together.
        bounded: whether each of the reader's trips ends by itself within that time.
        threads: how many look-ups may run or be stuck at once.
    """

    def __init__(
        self,
        reader: Reader,
        *,
        timeout_s: float,
        bounded: bool = False,
        breaker: Breaker | None = None,
        threads: int = THREADS,
    ) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._bounded = bounded
        self._good = 0
        self._breaker = breaker or Breaker(_WHAT, remedy=_REMEDY)
        self._threads = _Threads(threads)
        self._counting = threading.Lock()
        self._errors = 0
        self._timeouts = 0
        self._closed = False

    @property
    def open(self) -> bool:
        """Whether the breaker is open: look-ups fail at once, but for a probe now and then."""
        return self._breaker.open

    @property
    def well(self) -> bool:
        """Whether a look-up runs where its caller is, and is over soon."""
        return self._bounded and self._good >= _WELL

    @property
    def errors(self) -> int:
        """Look-ups that the store answered with an error or with what can't be read."""
        return self._errors

    @property
    def timeouts(self) -> int:
        """Look-ups that had no answer by the deadline, or no thread to run in."""
        return self._timeouts

    @property
    def short_circuited(self) -> int:
        """Look-ups that failed at once because the breaker was open."""
        return self._breaker.short_circuited

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched:
        """As `OnlineReader.fetch`, by the deadline.

        Raises:
            Unavailable: the store fails, answers with garbage or not in time, or did so lately.
        """
        if self._closed:
            raise Unavailable("The online store's reader is closed.", remedy="Try again in a second.")
        ticket = self._breaker.enter()
        try:
            fetched = self._here(subjects, known) if self.well else self._elsewhere(subjects, known)
        except TimeoutError as error:
            raise self._late(ticket, error) from error
        except Unavailable as error:
            self._failed(ticket, error)
            raise
        except LeadsError:
            # Wrong settings are not the store's fault.
            self._breaker.succeeded(ticket)
            raise
        except Exception as error:
            raise self._unreadable(ticket, error) from error
        self._breaker.succeeded(ticket)
        self._good += 1
        return fetched

    def _here(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None) -> Fetched:
        began = time.monotonic()
        fetched = self._reader.fetch(subjects, known)
        if time.monotonic() - began > self._timeout_s:
            # The answer is here, so it is given; the next look-up gets a thread.
            self._good = 0
        return fetched

    def _elsewhere(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None) -> Fetched:
        fetched: list[Fetched] = []
        error = self._threads.run(lambda: fetched.append(self._reader.fetch(subjects, known)), self._timeout_s)
        if error is not None:
            raise error
        return fetched[0]

    def warm_up(self) -> None:
        """Connect and import what the first look-up needs, with more time than a request has. Errors are not raised."""
        try:
            error = self._threads.run(lambda: self._reader.fetch([Subject("none", "none")]), _WARM_UP_S)
        except TimeoutError as late:
            error = late
        if error is not None:
            _log.warning("starting without the online store: %s", error)

    def close(self) -> None:
        """Close the reader, unless the store holds it up; look-ups fail from now on."""
        self._closed = True
        try:
            self._threads.run(self._reader.close, self._timeout_s)
        except TimeoutError:
            _log.warning("%s doesn't let go of its connections", _WHAT)
        self._threads.end()

    def _late(self, ticket: int, error: TimeoutError) -> Unavailable:
        with self._counting:
            self._timeouts += 1
            self._good = 0
        self._breaker.failed(ticket, str(error))
        return Unavailable(f"{_WHAT} doesn't answer in {self._timeout_s:g} s.", remedy=_REMEDY)

    def _unreadable(self, ticket: int, error: Exception) -> Unavailable:
        self._failed(ticket, error)
        return Unavailable(f"The online store's answer can't be read ({type(error).__name__}).", remedy=_REMEDY)

    def _failed(self, ticket: int, error: Exception) -> None:
        with self._counting:
            self._errors += 1
            self._good = 0
        # The text of a foreign error may quote what is stored.
        self._breaker.failed(ticket, str(error) if isinstance(error, LeadsError) else type(error).__name__)


class _Threads:
    """Daemon threads, made when needed: one that is stuck must not keep the process from ending."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[_Thread] = []
        self._count = 0
        self._ended = False

    def run(self, work: Callable[[], object], timeout_s: float) -> Exception | None:
        """Do the work in a thread and wait for it; returns what it raised.

        Raises:
            TimeoutError: it takes longer; or every thread is stuck.
        """
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = self._another()
        job = _Job(work)
        thread.take(job)
        if not job.done.acquire(timeout=timeout_s):
            raise TimeoutError(f"no answer in {timeout_s:g} s")
        return job.error

    def _another(self) -> _Thread:
        with self._lock:
            if self._count >= self._most:
                raise TimeoutError(f"{self._most} earlier look-ups are stuck")
            thread = _Thread(self._rest)
            self._count += 1
            return thread

    def _rest(self, thread: _Thread) -> bool:
        """Take a thread that is done back; False when it is to end."""
        self._idle.append(thread)
        return not self._ended

    def end(self) -> None:
        """Let the idle threads end, and the others once they are done."""
        self._ended = True
        while self._idle:
            self._idle.pop().take(None)


class _Job:
    """One piece of work. `done` is a lock that is released when it is: the cheapest way to wait with a timeout."""

    __slots__ = ("done", "error", "work")

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.error: Exception | None = None
        self.done = threading.Lock()
        self.done.acquire()


class _Thread:
    """A daemon thread that does one job after the other."""

    def __init__(self, rest: Callable[[_Thread], bool]) -> None:
        self._rest = rest
        self._job: _Job | None = None
        self._wake = threading.Lock()
        self._wake.acquire()
        threading.Thread(target=self._run, name="online-store", daemon=True).start()

    def take(self, job: _Job | None) -> None:
        """Do this next; None: end."""
        self._job = job
        self._wake.release()

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            job, self._job = self._job, None
            if job is None:
                return
            try:
                job.work()
            except Exception as error:
                job.error = error
            on = self._rest(self)
            job.done.release()
            # What was fetched must not live on while this thread rests.
            del job
            if not on:
                return

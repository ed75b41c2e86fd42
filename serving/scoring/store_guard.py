"""A guard around the online store: a hard deadline per look-up, and a circuit breaker.

A store with read timeouts of its own that has been healthy for a while is read in the caller's thread, because changing
threads takes longer than such a read. After a failure or a late answer, and for any other store, a look-up runs in one
of the guard's threads and the caller waits at most until the deadline. This holds whatever the store does: socket
timeouts don't stop a store that sends a byte now and then, and nothing stops a read from a stuck file system. A stuck
thread is left behind and becomes available again once its read returns. When all threads are stuck, look-ups fail
immediately.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from features.declared.feature_set import FeatureSet
from features.links import Links
from features.online.reader import Fetched
from leads.background import repeating
from leads.breaker import Breaker
from leads.errors import LeadsError, Unavailable
from leads.events import Subject
from serving.scoring.interfaces import FeatureReader

# Twice the number of concurrent callers, so that a caller finds no thread only when half of the threads are stuck.
THREADS = 32
# Successful look-ups in a row after which a bounded store is read in the caller's thread.
_HEALTHY_AFTER = 50
_WARM_UP_S = 10.0
# How often it is checked whether the store has to be probed.
_PROBE_S = 0.5
_NOBODY = Subject("none", "none")
_WHAT = "The online feature store"
_REMEDY = "Check that it is running, then try again."
_log = logging.getLogger(__name__)


class GuardedReader:
    """A FeatureReader that returns or raises Unavailable within the deadline. Thread-safe.

    Args:
        timeout_s: the deadline of one `fetch`, in seconds, for all its round trips together.
        bounded: whether each of the reader's round trips has a timeout of its own.
        threads: how many look-ups may run or be stuck at the same time.
    """

    def __init__(
        self,
        reader: FeatureReader,
        *,
        timeout_s: float,
        bounded: bool = False,
        breaker: Breaker | None = None,
        threads: int = THREADS,
    ) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._bounded = bounded
        self._successes = 0
        self._breaker = breaker or Breaker(_WHAT, remedy=_REMEDY)
        self._threads = _Threads(threads)
        self._counting = threading.Lock()
        self._errors = 0
        self._timeouts = 0
        self._closed = False
        self._running = ExitStack()

    @property
    def open(self) -> bool:
        """Whether the circuit breaker is open: look-ups fail immediately, except for an occasional probe."""
        return self._breaker.open

    @property
    def reads_inline(self) -> bool:
        """Whether a look-up runs in the caller's thread, because the store is bounded and healthy."""
        return self._bounded and self._successes >= _HEALTHY_AFTER

    @property
    def errors(self) -> int:
        """Look-ups that failed with an error or returned unreadable data."""
        return self._errors

    @property
    def timeouts(self) -> int:
        """Look-ups that missed the deadline or found no free thread."""
        return self._timeouts

    @property
    def short_circuited(self) -> int:
        """Look-ups that failed immediately because the circuit breaker was open."""
        return self._breaker.short_circuited

    @property
    def features(self) -> FeatureSet:
        """The features whose rows are read."""
        return self._reader.features

    def use(self, features: FeatureSet) -> None:
        """Read the rows of these features from the next call on."""
        self._reader.use(features)

    def fetch(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None = None) -> Fetched:
        """Fetch rows as `OnlineReader.fetch` does, within the deadline.

        Raises:
            Unavailable: the store failed, returned unreadable data or missed the deadline; or the circuit breaker is
                open because it did so recently.
        """
        if self._closed:
            raise Unavailable("The online store's reader is closed.", remedy="Try again in a second.")
        ticket = self._breaker.enter()
        try:
            fetch = self._fetch_inline if self.reads_inline else self._fetch_in_thread
            fetched = fetch(subjects, known)
        except TimeoutError as error:
            raise self._late(ticket, error) from error
        except Unavailable as error:
            self._failed(ticket, error)
            raise
        except LeadsError:
            # A configuration error is not the store's fault.
            self._breaker.succeeded(ticket)
            raise
        except Exception as error:
            raise self._unreadable(ticket, error) from error
        self._breaker.succeeded(ticket)
        self._successes += 1
        return fetched

    def _fetch_inline(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None) -> Fetched:
        began = time.monotonic()
        fetched = self._reader.fetch(subjects, known)
        if time.monotonic() - began > self._timeout_s:
            # The rows are here, so return them. The next look-up gets a thread.
            self._successes = 0
        return fetched

    def _fetch_in_thread(self, subjects: Sequence[Subject], known: Sequence[Links | None] | None) -> Fetched:
        fetched: list[Fetched] = []
        error = self._threads.run(lambda: fetched.append(self._reader.fetch(subjects, known)), self._timeout_s)
        if error is not None:
            raise error
        return fetched[0]

    def warm_up(self) -> None:
        """Connect and import before the first look-up, with more time than a request has. Errors are only logged."""
        try:
            error = self._threads.run(lambda: self._reader.fetch([_NOBODY]), _WARM_UP_S)
        except TimeoutError as late:
            error = late
        if error is not None:
            _log.warning("starting without the online store: %s", error)

    def probe(self) -> int:
        """Look up a subject that doesn't exist if the circuit breaker waits for a probe. Returns 0."""
        if self._breaker.wants_probe and not self._closed:
            with suppress(LeadsError):
                self.fetch([_NOBODY])
        return 0

    def keep_probing(self) -> None:
        """From now on, notice without requests that the store responds again."""
        self._running.enter_context(repeating(self.probe, every_s=_PROBE_S, name="probe of the online store"))

    def close(self) -> None:
        """Close the reader, waiting at most one deadline. Look-ups fail from now on."""
        self._closed = True
        self._running.close()
        try:
            self._threads.run(self._reader.close, self._timeout_s)
        except TimeoutError:
            _log.warning("%s did not close its connections in %g s", _WHAT, self._timeout_s)
        self._threads.end()

    def _late(self, ticket: int, error: TimeoutError) -> Unavailable:
        with self._counting:
            self._timeouts += 1
            self._successes = 0
        self._breaker.failed(ticket, str(error))
        return Unavailable(f"{_WHAT} didn't respond within {self._timeout_s:g} s.", remedy=_REMEDY)

    def _unreadable(self, ticket: int, error: Exception) -> Unavailable:
        self._failed(ticket, error)
        return Unavailable(f"{_WHAT} returned unreadable data ({type(error).__name__}).", remedy=_REMEDY)

    def _failed(self, ticket: int, error: Exception) -> None:
        with self._counting:
            self._errors += 1
            self._successes = 0
        # Another library's error message may quote stored data.
        self._breaker.failed(ticket, str(error) if isinstance(error, LeadsError) else type(error).__name__)


class _Threads:
    """Daemon threads, created on demand. A stuck one must not keep the process from exiting."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._idle: list[_Thread] = []
        self._count = 0
        self._ended = False

    def run(self, work: Callable[[], object], timeout_s: float) -> Exception | None:
        """Do the work in a thread and wait for it; returns the exception it raised, if any.

        Raises:
            TimeoutError: the work takes longer, or every thread is busy.
        """
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = self._new_thread()
        job = _Job(work)
        thread.take(job)
        if not job.done.acquire(timeout=timeout_s):
            raise TimeoutError(f"no response within {timeout_s:g} s")
        return job.error

    def _new_thread(self) -> _Thread:
        with self._lock:
            if self._count >= self._most:
                raise TimeoutError(f"{self._most} earlier look-ups are stuck")
            thread = _Thread(self._release)
            self._count += 1
            return thread

    def _release(self, thread: _Thread) -> bool:
        """Take back a thread that is done; returns False if it must end."""
        self._idle.append(thread)
        return not self._ended

    def end(self) -> None:
        """End the idle threads now, and the others once they are done."""
        self._ended = True
        while self._idle:
            self._idle.pop().take(None)


class _Job:
    """One piece of work. `done` is a lock that is released when the work is done: the cheapest wait with a timeout."""

    __slots__ = ("done", "error", "work")

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.error: Exception | None = None
        self.done = threading.Lock()
        self.done.acquire()


class _Thread:
    """A daemon thread that does one job at a time."""

    def __init__(self, release: Callable[[_Thread], bool]) -> None:
        self._release = release
        self._job: _Job | None = None
        self._wake = threading.Lock()
        self._wake.acquire()
        threading.Thread(target=self._run, name="online-store", daemon=True).start()

    def take(self, job: _Job | None) -> None:
        """Do this job next; None ends the thread."""
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
            stays = self._release(self)
            job.done.release()
            # Free the fetched rows while this thread is idle.
            del job
            if not stays:
                return

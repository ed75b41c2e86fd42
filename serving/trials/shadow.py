"""Shadow scoring, in the background: challengers, and champions on the subjects that a canary answered for.

One thread, bounded queues and a share of one core. Work that doesn't fit is dropped and counted. A version that
fails here affects no request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from models.scores import Scores
from models.version import ModelVersion
from serving.trials.budget import Budget
from serving.trials.canary import CanaryWatch
from serving.trials.jobs import CanaryJob, ChallengerJob, ShadowRows, TrialJob

# Rows that may wait. Jobs are done in order, so a longer queue would delay the retreat of a bad canary under load.
CAPACITY = 2_000
SHARE = 0.1
# Rows scored between two looks at the budget, so that a slow version can't overrun it.
_ROWS_AT_ONCE = 64
_log = logging.getLogger(__name__)


class ShadowCounts(NamedTuple):
    """Rows since the start by outcome, rows waiting, and seconds spent."""

    scored: int
    compared: int
    dropped: int
    failed: int
    waiting: int
    busy_s: float


class _Queue:
    """Waiting jobs, and how many rows they have."""

    def __init__(self) -> None:
        self._jobs: deque[TrialJob] = deque()
        self.rows = 0

    def push(self, job: TrialJob) -> None:
        self._jobs.append(job)
        self.rows += job.n

    def pop(self) -> TrialJob | None:
        if not self._jobs:
            return None
        job = self._jobs.popleft()
        self.rows -= job.n
        return job


class Shadow:
    """Does the trials' jobs. Thread-safe. `start` does them in a thread; `step` does one in the calling thread.

    Args:
        share: the share of one core that may be used.
        capacity: rows that may wait, separately for canaries and for challengers.
        timer: monotonic seconds.
        pause: sleeps for a number of seconds; by default it ends early on `stop`.
    """

    def __init__(
        self,
        watch: CanaryWatch,
        *,
        share: float = SHARE,
        capacity: int = CAPACITY,
        timer: Callable[[], float] = time.perf_counter,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._watch = watch
        self._capacity = capacity
        self._timer = timer
        self._budget = Budget(share, timer=timer)
        # Canaries have a queue of their own, so that many rows for challengers can't keep them from being watched.
        self._canaries, self._challengers = _Queue(), _Queue()
        self._ready = threading.Condition()
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        self._scored = self._compared = self._dropped = self._failed = 0
        self._busy_s = 0.0
        self._reported: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None

    def offer(self, job: TrialJob) -> bool:
        """Queue a job if there is room; returns whether it was queued. Never blocks, never raises."""
        with self._ready:
            queue = self._canaries if isinstance(job, CanaryJob) else self._challengers
            if self._stopped.is_set() or queue.rows + job.n > self._capacity:
                self._dropped += job.n
                return False
            queue.push(job)
            self._ready.notify()
            return True

    def snapshot(self) -> ShadowCounts:
        """Counts for metrics."""
        with self._ready:
            waiting = self._canaries.rows + self._challengers.rows
            return ShadowCounts(self._scored, self._compared, self._dropped, self._failed, waiting, self._busy_s)

    def start(self) -> None:
        """Do jobs in a background thread until `stop`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop after the rows being scored. Waiting jobs are dropped."""
        with self._ready:
            self._stopped.set()
            self._ready.notify_all()
        if self._thread is not None:
            self._thread.join()
        while (job := self._take()) is not None:
            self._count(dropped=job.n)

    def step(self) -> bool:
        """Do the next job, within the budget; returns whether there was one."""
        job = self._take()
        if job is None:
            return False
        try:
            if isinstance(job, CanaryJob):
                self._compare(job)
            else:
                self._score(job)
        except Exception as error:
            self._count(failed=job.n)
            self._report(job.canary if isinstance(job, CanaryJob) else job.version, error)
        return True

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._ready:
                self._ready.wait_for(lambda: self._canaries.rows or self._challengers.rows or self._stopped.is_set())
            if not self._stopped.is_set():
                self.step()

    def _take(self) -> TrialJob | None:
        with self._ready:
            return self._canaries.pop() or self._challengers.pop()

    def _score(self, job: ChallengerJob) -> None:
        with self._spending():
            rows = job.rows_for(job.version.contract)
        scored = []
        for part in _parts(rows):
            scored.append(self._timed(job.version, part)[0])
            if self._stopped.is_set():
                return self._count(dropped=job.n)
        if scored:
            with self._spending():
                job.done(Scores(*map(np.concatenate, zip(*scored, strict=True))), rows.places)
        self._count(scored=len(rows.places))

    def _compare(self, job: CanaryJob) -> None:
        """Score the same rows with both versions.

        Both are timed here, because a cache may have shortened the time that the scoring call measured.
        """
        with self._spending():
            rows = next(_parts(job.rows_for(job.champion.contract)), None)
            canary_rows = rows and _at(job.rows_for(job.canary.contract), rows)
        if rows is None or canary_rows is None:
            return
        took: dict[str, float] = {}
        by_champion = None
        pairs = [(job.champion, rows), (job.canary, canary_rows)]
        for version, its_rows in pairs if self._compared % 2 else reversed(pairs):
            scores, took[version.version] = self._timed(version, its_rows)
            by_champion = scores if version is job.champion else by_champion
        assert by_champion is not None
        canary_s, champion_s = took[job.canary.version], took[job.champion.version]
        if job.canary.encodes and not job.champion.encodes:
            # Sentence vectors are cached by now, so only the scoring call measured the time to compute them.
            canary_s = job.took_s * len(rows.places) / job.n
        self._watch.compared(job, by_champion.score, rows.places, took_s=(canary_s, champion_s))
        self._count(compared=len(rows.places))

    def _timed(self, version: ModelVersion, rows: ShadowRows) -> tuple[Scores, float]:
        with self._spending():
            began = self._timer()
            scores = version.score(rows.features, rows.texts)
            return scores, self._timer() - began

    @contextmanager
    def _spending(self) -> Iterator[None]:
        """Wait until the budget allows work, then charge the time that the block takes."""
        wait_s = self._budget.wait_s()
        if wait_s:
            self._pause(wait_s)
        began = self._timer()
        try:
            yield
        finally:
            seconds = self._timer() - began
            self._budget.spend(seconds)
            self._busy_s += seconds

    def _count(self, *, scored: int = 0, compared: int = 0, dropped: int = 0, failed: int = 0) -> None:
        with self._ready:
            self._scored += scored
            self._compared += compared
            self._dropped += dropped
            self._failed += failed

    def _report(self, version: ModelVersion, error: Exception) -> None:
        """Log a failure, once per version. Only the error's type: its message may quote the text that failed."""
        key = (version.harm, version.version)
        if key not in self._reported:
            self._reported.add(key)
            _log.warning("%s version %s failed in shadow scoring: %s", *key, type(error).__name__)


def _parts(rows: ShadowRows) -> Iterator[ShadowRows]:
    for i in range(0, len(rows.places), _ROWS_AT_ONCE):
        at = slice(i, i + _ROWS_AT_ONCE)
        yield ShadowRows(rows.features[at], rows.texts[at], rows.places[at])


def _at(rows: ShadowRows, wanted: ShadowRows) -> ShadowRows:
    """The rows at the positions of `wanted`, in that order."""
    index = {place: i for i, place in enumerate(rows.places.tolist())}
    picked = [index[place] for place in wanted.places.tolist()]
    return ShadowRows(rows.features[picked], [rows.texts[i] for i in picked], wanted.places)

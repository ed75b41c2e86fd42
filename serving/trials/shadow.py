"""Scoring off the answer's path: challengers, and the champion on what a canary answered.

One thread, a bounded queue, and a share of one core: what doesn't fit is dropped and counted. A version that fails
here disturbs no answer.
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

from models.version import ModelVersion, Scores
from serving.trials.budget import Budget
from serving.trials.canary import CanaryWatch
from serving.trials.shadow_jobs import PairedJob, Rows, ShadowJob

# Under load old rows wait before new ones: more of them would make a canary that goes wrong answer on for longer.
CAPACITY = 2_000
SHARE = 0.1
# Between so many rows the budget is looked at, so that a slow version doesn't run on and on.
_ROWS_AT_ONCE = 64
_log = logging.getLogger(__name__)
Job = ShadowJob | PairedJob


class ShadowCounts(NamedTuple):
    """Rows since the start, by what became of them; those that wait; seconds spent."""

    scored: int
    compared: int
    dropped: int
    failed: int
    waiting: int
    busy_s: float


class _Queue:
    """Jobs that wait, and their rows."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self.rows = 0

    def push(self, job: Job) -> None:
        self._jobs.append(job)
        self.rows += job.n

    def pop(self) -> Job | None:
        if not self._jobs:
            return None
        job = self._jobs.popleft()
        self.rows -= job.n
        return job


class Shadow:
    """Thread-safe. `start` works in the background; `step` does one job where it is called.

    Args:
        share: of one core that may be used.
        capacity: rows that may wait, of challengers' jobs and of canaries' each.
        timer: monotonic seconds.
        pause: sleeps for so many seconds; default: until `stop` at the latest.
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
        # Canaries wait in a queue of their own: a flood of challengers' rows must not leave them unjudged.
        self._paired, self._shadowed = _Queue(), _Queue()
        self._ready = threading.Condition()
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        self._scored = self._compared = self._dropped = self._failed = 0
        self._busy_s = 0.0
        self._told: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None

    def offer(self, job: Job) -> bool:
        """Take a job if there is room; returns whether it was taken. Never waits for work, never raises."""
        with self._ready:
            queue = self._paired if isinstance(job, PairedJob) else self._shadowed
            if self._stopped.is_set() or queue.rows + job.n > self._capacity:
                self._dropped += job.n
                return False
            queue.push(job)
            self._ready.notify()
            return True

    def snapshot(self) -> ShadowCounts:
        """For metrics."""
        with self._ready:
            waiting = self._paired.rows + self._shadowed.rows
            return ShadowCounts(self._scored, self._compared, self._dropped, self._failed, waiting, self._busy_s)

    def start(self) -> None:
        """Work in a thread of its own, until `stop`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the rows at hand; what waits is dropped."""
        with self._ready:
            self._stopped.set()
            self._ready.notify_all()
        if self._thread is not None:
            self._thread.join()
        while (job := self._take()) is not None:
            self._count(dropped=job.n)

    def step(self) -> bool:
        """Do the next job within the budget; returns whether there was one."""
        job = self._take()
        if job is None:
            return False
        try:
            if isinstance(job, PairedJob):
                self._compare(job)
            else:
                self._score(job)
        except Exception as error:
            self._count(failed=job.n)
            self._tell(job.canary if isinstance(job, PairedJob) else job.version, error)
        return True

    def _run(self) -> None:
        while not self._stopped.is_set():
            with self._ready:
                self._ready.wait_for(lambda: self._paired.rows or self._shadowed.rows or self._stopped.is_set())
            if not self._stopped.is_set():
                self.step()

    def _take(self) -> Job | None:
        with self._ready:
            return self._paired.pop() or self._shadowed.pop()

    def _score(self, job: ShadowJob) -> None:
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

    def _compare(self, job: PairedJob) -> None:
        """Both score the same rows here, one after the other: on the answer's path a cache may have spared one."""
        with self._spending():
            rows = next(_parts(job.rows_for(job.champion.contract)), None)
            mine = rows and _at(job.rows_for(job.canary.contract), rows)
        if rows is None or mine is None:
            return
        took: dict[str, float] = {}
        by_champion = None
        pairs = [(job.champion, rows), (job.canary, mine)]
        for version, its in pairs if self._compared % 2 else reversed(pairs):
            scores, took[version.version] = self._timed(version, its)
            by_champion = scores if version is job.champion else by_champion
        assert by_champion is not None
        canary_s, champion_s = took[job.canary.version], took[job.champion.version]
        if job.canary.encodes and not job.champion.encodes:
            # The host keeps sentence vectors, so only the answer's path has paid for them.
            canary_s = job.took_s * len(rows.places) / job.n
        self._watch.compared(job, by_champion.score, rows.places, took_s=(canary_s, champion_s))
        self._count(compared=len(rows.places))

    def _timed(self, version: ModelVersion, rows: Rows) -> tuple[Scores, float]:
        with self._spending():
            began = self._timer()
            scores = version.score(rows.features, rows.texts)
            return scores, self._timer() - began

    @contextmanager
    def _spending(self) -> Iterator[None]:
        """Waits until the budget allows something, then charges what was done."""
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

    def _tell(self, version: ModelVersion, error: Exception) -> None:
        """Once a version; only the kind, for what an error says may hold what it failed on."""
        key = (version.harm, version.version)
        if key not in self._told:
            self._told.add(key)
            _log.warning("%s version %s fails in shadow: %s", *key, type(error).__name__)


def _parts(rows: Rows) -> Iterator[Rows]:
    for i in range(0, len(rows.places), _ROWS_AT_ONCE):
        at = slice(i, i + _ROWS_AT_ONCE)
        yield Rows(rows.features[at], rows.texts[at], rows.places[at])


def _at(rows: Rows, wanted: Rows) -> Rows:
    """The rows at the places of `wanted`, in that order."""
    index = {place: i for i, place in enumerate(rows.places.tolist())}
    picked = [index[place] for place in wanted.places.tolist()]
    return Rows(rows.features[picked], [rows.texts[i] for i in picked], wanted.places)

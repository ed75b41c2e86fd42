"""What an API process holds in memory: built once, passed in, closed at shutdown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy.engine import Engine

from features.online.reader import open_reader
from leads import clock
from leads.api.declared import Declared, load_declared
from leads.clock import Clock
from leads.db import deadline
from leads.db.engine import open_engine
from leads.errors import LeadsError, Unavailable
from leads.policies import Policies, check_types, load_policies
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from serving.feature_watch import FeatureWatch
from serving.http.access.key_cache import KeyCache
from serving.http.access.key_uses import KeyUses
from serving.http.rate_limits import RateLimits
from serving.observe.metrics import Metrics, process_metrics
from serving.observe.tracing import Tracing, open_tracing
from serving.scoring.scorer import Scorer
from serving.scoring.store_guard import GuardedReader
from serving.scoring.texts.limits import NO_LIMITS, Limits, TextSize, TooMuchText, WouldWait
from serving.served import ServedMark
from serving.trials.trials import Trials
from serving.versions.published import PublishedVersions

P = ParamSpec("P")
R = TypeVar("R")
# How many threads of a process wait for the database or the store at a time, by what they do. Work of one kind that
# hangs does not hold up the others: requests that write may wait for a locked database, while scoring goes on.
_READS, _WRITES, _SCORES, _KEYS = 6, 6, 6, 2
# The same for scoring with versions that encode texts, so that other scoring never waits for an encoder.
_ENCODED_SCORES = 4
# Threads for requests with a lot of text, which take seconds. They are separate, so that other requests get a thread.
_LARGE_SCORES = 2
# Scoring this many rows (subjects × harms), or reading this much text (bytes × harms), takes about 10 ms. Threads would
# be slower: they compete for the GIL.
_MAX_INLINE_ROWS = 128
_MAX_INLINE_TEXT = 8_000
# More than this is a lot of text: about 0.3 s. A sentence encoder takes that long for a sixteenth of it.
_MAX_TEXT = 256_000
_MAX_ENCODED_TEXT = _MAX_TEXT // 16


@dataclass(frozen=True)
class Threads:
    """Limits on threads, one for each kind of work."""

    reads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_READS))
    writes: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_WRITES))
    scores: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_SCORES))
    encoded_scores: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_ENCODED_SCORES))
    large_scores: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_LARGE_SCORES))
    large_encoded_scores: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_LARGE_SCORES))
    keys: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_KEYS))


@dataclass(frozen=True)
class Runtime:
    """Everything that handles requests.

    `stopping` is set once the process should get no new requests, `handing_over` once other processes get them.
    """

    settings: Settings
    policies: Policies
    declared: Declared
    engine: Engine
    keys: KeyCache
    published: PublishedVersions
    reader: GuardedReader
    predictions: PredictionLog
    scorer: Scorer
    trials: Trials
    metrics: Metrics
    uses: KeyUses
    threads: Threads = field(default_factory=Threads)
    clock: Clock = clock.now
    rates: RateLimits = field(default_factory=RateLimits)
    tracing: Tracing | None = None
    served: ServedMark | None = None
    watch: FeatureWatch | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    handing_over: threading.Event = field(default_factory=threading.Event)

    def is_leaving(self) -> bool:
        """Whether each response is the last one on its connection, so that clients connect to another process."""
        return self.stopping.is_set() or self.handing_over.is_set()

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run blocking work that reads in a thread, so that it doesn't block the event loop."""
        return await _in_thread(self.threads.reads, partial(work, *args, **kwargs))

    async def check_key(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Like `run`, for what has to be asked of the database about a key."""
        return await _in_thread(self.threads.keys, partial(work, *args, **kwargs))

    async def write(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run blocking work that writes in a thread.

        Work that has begun is awaited even if the caller is cancelled, for example by the request's time limit: whoever
        asked for it must learn whether it was done. Its transactions keep the deadline (`leads.db.deadline`), so it
        does not take much longer.
        """
        running, begun = _start(self.threads.writes, partial(work, *args, **kwargs))
        while True:
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                if running.done() or not begun.is_set():
                    running.cancel()
                    raise

    async def score(
        self,
        rows: int,
        work: Callable[[Limits], R],
        before_large: Callable[[int], None] = lambda stored_bytes: None,
    ) -> R:
        """Run scoring work: inline if it is short and can't block (threads would take longer), else in a thread.

        Only a few threads do work on a lot of text, so that other work gets a thread, and work that encodes texts has
        threads of its own. If the caller is cancelled, for example by the request's time limit, the work stops at its
        next step.

        Args:
            work: raises TooMuchText or WouldWait if it would exceed its limits, and OutOfTime once the request's
                deadline has passed.
            before_large: called before work on a lot of text, with the bytes of stored text. May raise to prevent it.

        Raises:
            Unavailable: the request's deadline passed.
        """
        # Only the work itself knows the stored texts.
        size, stored_bytes, threads = TextSize(), 0, self.threads
        try:
            if rows <= _MAX_INLINE_ROWS and self._reads_inline:
                try:
                    # An encoder takes many times longer than everything else, so that inline it gets no new text.
                    return work(Limits(_MAX_INLINE_TEXT, encoded=0, waits=False))
                except WouldWait:
                    pass
                except TooMuchText as found:
                    size, stored_bytes = found.size, found.stored_bytes
            for limiter, limits in (
                (threads.scores, Limits(_MAX_TEXT, encoded=0)),
                (threads.encoded_scores, Limits(_MAX_TEXT, _MAX_ENCODED_TEXT)),
            ):
                if not limits.exclude(size):
                    try:
                        return await _stoppable(limiter, partial(work, limits))
                    except TooMuchText as found:
                        size, stored_bytes = found.size, found.stored_bytes
            before_large(stored_bytes)
            large = threads.large_encoded_scores if size.encoded else threads.large_scores
            return await _stoppable(large, partial(work, NO_LIMITS))
        except deadline.OutOfTime:
            raise Unavailable("Scoring took too long.", remedy="Send fewer subjects at once, or try again.") from None

    @property
    def _reads_inline(self) -> bool:
        """Whether reading stored texts and rows takes so little time that the event loop can wait for it."""
        return self.scorer.prompt and self.reader.reads_inline

    def close(self) -> None:
        """Stop the background threads and write pending predictions."""
        self.published.stop()
        self.trials.stop()
        try:
            self.predictions.close()
        finally:
            self.uses.close()
            if self.served is not None:
                self.served.close()
            if self.watch is not None:
                self.watch.close()
            self.reader.close()
            self.engine.dispose()
            if self.tracing is not None:
                self.tracing.close()


async def _in_thread(limiter: anyio.CapacityLimiter, work: Callable[[], R]) -> R:
    return await anyio.to_thread.run_sync(work, limiter=limiter)


def _start(limiter: anyio.CapacityLimiter, work: Callable[[], R]) -> tuple[asyncio.Future[R], threading.Event]:
    """Start work in a thread, which counts towards the limit until the work has ended, whoever still waits for it.

    Returns the work, and an event that is set once it has begun.
    """
    begun = threading.Event()

    def marked() -> R:
        begun.set()
        return work()

    return asyncio.ensure_future(_in_thread(limiter, marked)), begun


async def _stoppable(limiter: anyio.CapacityLimiter, work: Callable[[], R]) -> R:
    """Run work that checks the request's deadline in a thread. If the caller is cancelled, the deadline passes."""

    def ended() -> R:
        try:
            return work()
        except (TooMuchText, deadline.OutOfTime) as error:
            # A traceback keeps texts in memory until Python next collects cycles, because futures refer to it.
            raise error.with_traceback(None) from None

    running, begun = _start(limiter, ended)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        deadline.expire()
        if not begun.is_set():
            running.cancel()
        running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        raise


def open_runtime(settings: Settings) -> Runtime:
    """Build the runtime and start following published versions.

    Raises:
        ConfigurationError: settings or policies are invalid, or the database schema is too old.
        Unavailable: the database doesn't respond.
    """
    policies, declared = load_policies(settings.policies), load_declared(settings)
    check_types(policies, declared.platform, settings)
    tracing = open_tracing(settings)
    engine = open_engine(settings, timeout_s=settings.database_timeout_s)
    try:
        bare = open_reader(settings)
        reader = GuardedReader(bare, timeout_s=settings.store_timeout_s, bounded=bare.bounded)
        predictions = PredictionLog(settings.predictions_dir, owner="api")
        published = PublishedVersions(settings, policies, engine)
    except LeadsError:
        engine.dispose()
        raise
    watch = FeatureWatch(engine, reader, published.prepare_for)
    watch.start()
    reader.warm_up()
    reader.keep_probing()
    predictions.start()
    served = ServedMark(engine, predictions)
    served.start()
    published.start()
    trials = Trials(policies, published.retreats)
    trials.start()
    uses = KeyUses(engine)
    uses.start()
    return Runtime(
        settings,
        policies,
        declared,
        engine,
        KeyCache(engine),
        published,
        reader,
        predictions,
        Scorer(engine, policies, reader, published, served, trials, declared.platform.language_fields),
        trials,
        process_metrics(),
        uses,
        rates=RateLimits(settings.rate_limit, share=1 / settings.workers),
        tracing=tracing,
        served=served,
        watch=watch,
    )

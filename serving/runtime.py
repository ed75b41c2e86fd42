"""What an API process holds in memory: built once, passed in, closed at shutdown."""

from __future__ import annotations

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
from leads.clock import Clock
from leads.db.engine import open_engine
from leads.errors import LeadsError
from leads.policies import Policies, load_policies
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from serving.http import idempotency
from serving.http.access.key_cache import KeyCache
from serving.http.rate_limits import RateLimits
from serving.observe.metrics import Metrics, process_metrics
from serving.observe.tracing import Tracing, open_tracing
from serving.scoring.scorer import Scorer
from serving.scoring.store_guard import GuardedReader
from serving.trials.trials import Trials
from serving.versions.published import PublishedVersions

P = ParamSpec("P")
R = TypeVar("R")
# Maximum number of threads per process that wait for the database or the store.
_THREADS = 16
# Keys are checked in threads of their own: while all others wait for the database, requests that don't need it go on.
_KEY_THREADS = 2
# Scoring this many rows (subjects × harms) takes about 10 ms. Threads would be slower: they compete for the GIL.
_MAX_INLINE_ROWS = 128


@dataclass(frozen=True)
class Runtime:
    """Everything that handles requests. `stopping` is set once the process should get no new requests."""

    settings: Settings
    policies: Policies
    engine: Engine
    keys: KeyCache
    published: PublishedVersions
    reader: GuardedReader
    predictions: PredictionLog
    scorer: Scorer
    trials: Trials
    metrics: Metrics
    limiter: anyio.CapacityLimiter
    clock: Clock = clock.now
    rates: RateLimits = field(default_factory=RateLimits)
    key_limiter: anyio.CapacityLimiter = field(default_factory=partial(anyio.CapacityLimiter, _KEY_THREADS))
    tracing: Tracing | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run blocking work in a thread, so that it doesn't block the event loop."""
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self.limiter)

    async def run_key_check(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Like `run`, for what has to be asked of the database about a key."""
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self.key_limiter)

    async def score(self, rows: int, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run scoring work: inline if it is short and can't block (threads would take longer), else in a thread."""
        champions = self.published.lineup().champions.values()
        # A sentence encoder takes many times longer than everything else.
        few = rows <= _MAX_INLINE_ROWS and not any(version.encodes for version in champions)
        if few and self.engine.dialect.name == "sqlite" and self.reader.reads_inline:
            return work(*args, **kwargs)
        return await self.run(work, *args, **kwargs)

    def close(self) -> None:
        """Stop the background threads and write pending predictions."""
        self.published.stop()
        self.trials.stop()
        try:
            self.predictions.close()
        finally:
            self.reader.close()
            self.engine.dispose()
            if self.tracing is not None:
                self.tracing.close()


def open_runtime(settings: Settings) -> Runtime:
    """Build the runtime and start following published versions.

    Raises:
        ConfigurationError: settings or policies are invalid, or the database schema is too old.
        Unavailable: the database doesn't respond.
    """
    policies = load_policies(settings.policies)
    tracing = open_tracing(settings)
    engine = open_engine(settings, timeout_s=settings.database_timeout_s)
    try:
        bare = open_reader(settings)
        reader = GuardedReader(bare, timeout_s=settings.store_timeout_s, bounded=bare.bounded)
        predictions = PredictionLog(settings.predictions_dir, owner="api")
        published = PublishedVersions(settings, policies, engine)
        with engine.begin() as connection:
            idempotency.delete_expired(connection, clock.now())
    except LeadsError:
        engine.dispose()
        raise
    reader.warm_up()
    predictions.start()
    published.start()
    trials = Trials(policies, published.retreats)
    trials.start()
    return Runtime(
        settings,
        policies,
        engine,
        KeyCache(engine),
        published,
        reader,
        predictions,
        Scorer(engine, policies, reader, published, predictions, trials),
        trials,
        process_metrics(),
        anyio.CapacityLimiter(_THREADS),
        rates=RateLimits(settings.rate_limit, share=1 / settings.workers),
        tracing=tracing,
    )

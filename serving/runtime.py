"""What a serving process holds in memory: built once, passed in, closed at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread
from sqlalchemy.engine import Engine

from features.online import OnlineReader, open_reader
from leads import clock
from leads.clock import Clock
from leads.errors import LeadsError
from leads.keys import KeyCache
from leads.policies import Policies, load_policies
from leads.predictions import PredictionLog
from leads.settings import Settings
from leads.tables import open_engine
from serving import idempotency
from serving.metrics import Metrics, process_metrics
from serving.published import Published
from serving.scoring import Scorer
from serving.trials import Trials

P = ParamSpec("P")
R = TypeVar("R")
# Requests that block on database or store at once, per process.
_THREADS = 16


@dataclass(frozen=True)
class Runtime:
    """The parts that answer requests. `clock` is the service's own."""

    settings: Settings
    policies: Policies
    engine: Engine
    keys: KeyCache
    published: Published
    reader: OnlineReader
    predictions: PredictionLog
    scorer: Scorer
    trials: Trials
    metrics: Metrics
    limiter: anyio.CapacityLimiter
    clock: Clock = clock.now

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do blocking work in a thread, so that the event loop goes on."""
        return await anyio.to_thread.run_sync(partial(work, *args, **kwargs), limiter=self.limiter)

    def close(self) -> None:
        """Stop the background threads and write what waits."""
        self.published.stop()
        self.trials.stop()
        try:
            self.predictions.close()
        finally:
            self.reader.close()
            self.engine.dispose()


def open_runtime(settings: Settings) -> Runtime:
    """Build everything and start following published versions. Blocks while the database is migrated.

    Raises:
        ConfigurationError, Unavailable: settings, policies or database are not right.
    """
    policies = load_policies(settings.policies)
    engine = open_engine(settings)
    try:
        reader = open_reader(settings)
        predictions = PredictionLog(settings.predictions_dir, owner="api")
        published = Published(settings, policies, engine)
        with engine.begin() as connection:
            idempotency.forget_old(connection, clock.now())
    except LeadsError:
        engine.dispose()
        raise
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
    )

"""Builds workers and runs them: once over the current event log, or until stopped."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import NamedTuple

from features.deletion import delete_rows
from features.live_rows import LiveRows
from features.offline.compaction import compacting
from features.partition import Partition
from leads import clock
from leads.background import Patience
from leads.db import cursors
from leads.errors import Conflict, InvalidInput, LeadsError, Unavailable
from leads.files import only_one
from leads.policies import load_policies
from leads.predictions import compaction
from leads.settings import Settings, without_effect
from models.registry.mlflow_client import Connector
from serving.observe import logs
from serving.observe.event_lags import worker_lags
from serving.versions.published_state import STATE_FILE, read_state, verified_so_far
from serving.worker.parts import database, open_scoring
from serving.worker.shares import first_free, held, lock_path, next_free
from serving.worker.worker import Worker

# Without progress of the follower, after which the worker starts with what is published already.
_FOLLOWER_S = 60.0
# Events that are folded again, from which on it takes so long that the log says so.
_GAP = 50_000
_log = logging.getLogger(__name__)

OnProgress = Callable[[str, int, int], None]


class Result(NamedTuple):
    """The result of a run: features include events up to `offset`. Without models nothing is scored."""

    offset: int
    scored: int
    opened: int
    has_models: bool


def chosen_partitions(settings: Settings, index: int | None) -> list[Partition]:
    """The partition with this index, or all of them.

    Raises:
        InvalidInput: the partition doesn't exist.
    """
    count = settings.partitions
    if index is None:
        return [Partition(i, count) for i in range(count)]
    if index >= count:
        raise InvalidInput(
            f"Partition {index} not found.",
            field="--partition",
            remedy=f"LEADS_PARTITIONS is {count}, so use a number from 0 to {count - 1}.",
        )
    return [Partition(index, count)]


def delete_features(settings: Settings) -> int:
    """Delete the feature rows of all partitions, offline and online. Workers recompute them from the event log.

    Returns the offset up to which events have been scored. They are not scored again.

    Raises:
        Conflict: a worker is running.
    """
    with ExitStack() as locks:
        shares = chosen_partitions(settings, None)
        for share in shares:
            locks.enter_context(held(settings, share))
        for other in settings.root.glob("worker-*of*.lock"):
            # Of another number of partitions: such a worker would go on writing its rows.
            if other not in [lock_path(settings, share) for share in shares]:
                locks.enter_context(only_one(other, what="running a worker"))
        # First of all: without it, workers of another number of partitions would score every old event again.
        with database(settings) as engine, engine.begin() as connection:
            scored = cursors.begin_rebuild(connection, settings.partitions)
        delete_rows(settings)
    return scored


def run_once(settings: Settings, partitions: Sequence[Partition], *, on_progress: OnProgress | None = None) -> Result:
    """Compute features from all events now in the log, and score the subjects that they touched.

    Args:
        on_progress: called with the current step, the number of events done, and their total.

    Raises:
        ConfigurationError: the database's schema is too old.
        Conflict: another worker is running on one of the partitions.
        Unavailable: a store doesn't respond or has lost data; the next run continues from what is stored.
    """
    try:
        return _run_once(settings, partitions, on_progress)
    except Unavailable as error:
        # Unlike a worker that keeps running, this one doesn't try again by itself.
        if error.field == "LEADS_STATE_STORE":
            error.remedy = "Run the command again: it continues from what is stored."
        raise


def _run_once(settings: Settings, partitions: Sequence[Partition], on_progress: OnProgress | None) -> Result:
    done = Result(0, 0, 0, has_models=False)
    with ExitStack() as opened:
        for share in partitions:
            opened.enter_context(held(settings, share))
        workers = [opened.enter_context(open_worker(settings, share, background=False)) for share in partitions]
        if len(workers) > 1:
            # Scoring reads rows of every partition, so all partitions are computed first.
            for worker, share in zip(workers, partitions, strict=True):
                worker.fold(on_progress=_as_step(on_progress, f"partition {share.index}: events processed"))
        for worker in workers:
            result = worker.run_once(on_progress=_as_step(on_progress, "events processed"))
            done = Result(result.offset, done.scored + result.scored, done.opened + result.opened, worker.has_models)
    return done


def run_until_stopped(settings: Settings, partitions: Sequence[Partition], *, wait: bool = False) -> None:
    """Process new events of the first partition without a worker, until SIGINT or SIGTERM.

    Args:
        wait: if every partition has a worker, wait until one is free.

    Raises:
        ConfigurationError: the database's schema is too old.
        Conflict: every partition has a worker, or another worker has taken over this one's.
    """
    stopped = threading.Event()
    with ExitStack() as opened:
        if wait:
            _prepare(settings, stopped)
            found = opened.enter_context(next_free(settings, partitions, stopped))
            if found is None:
                return
        else:
            found = opened.enter_context(first_free(settings, partitions))
            _prepare(settings, stopped)
        share, still_held = found
        worker = opened.enter_context(open_worker(settings, share, background=True))
        _wait_for_follower(settings, stopped)

        def goes_on() -> bool:
            if not stopped.is_set() and not still_held():
                # Nothing more may be written.
                raise Conflict("Another process with the same database has taken over.", field="LEADS_DATABASE_URL")
            return not stopped.is_set()

        worker.run(goes_on)


def _prepare(settings: Settings, stopped: threading.Event) -> None:
    logs.set_up(settings)
    for text in without_effect():
        _log.warning("%s", text)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())


def _as_step(on_progress: OnProgress | None, what: str) -> Callable[[int, int], None] | None:
    return partial(on_progress, what) if on_progress else None


@contextmanager
def open_worker(settings: Settings, share: Partition, *, background: bool, merging: bool = True) -> Iterator[Worker]:
    """A partition's worker with everything it needs, closed in the end. Hold the partition's lock meanwhile.

    Args:
        background: follow new versions meanwhile; otherwise use those that the registry names now.
        merging: merge small segments meanwhile.
    """
    policies = load_policies(settings.policies)
    with ExitStack() as opened:
        engine = opened.enter_context(database(settings))
        # Before the reader, because this creates the online store if it doesn't exist.
        rows = opened.enter_context(closing(LiveRows(settings, engine, share)))
        _report_gap(rows)
        parts = opened.enter_context(open_scoring(settings, policies, engine, background=background))
        if merging:
            opened.enter_context(compacting(lambda: rows.segments))
            opened.enter_context(compaction.compacting(settings.predictions_dir))
        # Scores are computed from the rows that this worker has just written.
        parts.reader.use(rows.features)
        rows.on_switch = parts.reader.use
        yield Worker(policies, engine, parts.scorer, parts.published, rows, lags=worker_lags())


def bring_features_live(settings: Settings) -> None:
    """Bring all rows up to date, so that a generation of features that is ready goes live.

    Raises:
        Conflict: a worker is running, which does it.
    """
    with ExitStack() as opened:
        shares = chosen_partitions(settings, None)
        for share in shares:
            opened.enter_context(held(settings, share))
        engine = opened.enter_context(database(settings))
        for share in shares:
            with closing(LiveRows(settings, engine, share)) as rows:
                rows.run_to_head()


def _report_gap(rows: LiveRows) -> None:
    """Log that many events have to be folded again, because the state is new, or older than the segments."""
    state, segments = rows.offset, rows.segments.manifest().offset
    if segments - state >= _GAP:
        share = rows.partition
        _log.warning(
            "the state of partition %d of %d ends at event %d, its segments end at event %d: folding the events in "
            "between again, about a minute per million; new events are folded and scored after that",
            share.index,
            share.count,
            state,
            segments,
        )


def _wait_for_follower(settings: Settings, stopped: threading.Event) -> None:
    """Wait until the registry's current versions are published, so that no score uses older ones."""
    if not Connector(settings).exists() and not (settings.published_dir / STATE_FILE).exists():
        _log.info("there is no model registry yet, so there is no version to wait for")
        return
    _log.info(
        "waiting for a follower to read the registry, at most %.0f s without progress; `leads serve` starts one",
        _FOLLOWER_S,
    )
    began, patience = clock.now(), Patience(_FOLLOWER_S)
    while not patience.lost(verified_so_far(settings.published_dir)) and not stopped.wait(0.1):
        try:
            if read_state(settings.published_dir).checked_at >= began:
                # Give this process, which checks twice a second, time to load them.
                stopped.wait(1.0)
                return
        except LeadsError:
            continue
    if not stopped.is_set():
        _log.warning("no follower has read the registry, using the versions that are already published")

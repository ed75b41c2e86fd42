"""`leads worker`: puts the worker together and runs it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from cli.ui.terminal import next_steps, note, progress
from features.fold.fold import Partition
from features.materialize import Materializer, delete_rows
from features.offline.compaction import compacting
from features.online.reader import open_reader
from leads import clock
from leads.db.tables import open_engine
from leads.errors import Conflict, InvalidInput, LeadsError
from leads.files import only_one
from leads.policies import load_policies
from leads.predictions import compaction
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from serving.observe import logs
from serving.scoring.scorer import Scorer
from serving.scoring.store_guard import GuardedReader
from serving.trials.trials import Trials
from serving.versions.published import Published
from serving.versions.published_state import read_state
from serving.worker.worker import Progress, Worker

_FOLLOWER_S = 60.0
# The worker waits for a slow store rather than go on without it; but SIGTERM must find it waiting, not stuck.
_STORE_S = 5.0
_log = logging.getLogger(__name__)


def run(settings: Settings, *, once: bool, rebuild: bool, partition: int | None, quiet: bool) -> None:
    """Run until SIGINT or SIGTERM, or with `once` until everything in the log now is done.

    Args:
        partition: whose rows to write; None: with `once` every partition's, else the first that no one writes.

    Raises:
        Conflict: another worker runs on this home, or every partition has one.
        InvalidInput: there is no such partition.
    """
    shares = _shares(settings, partition)
    if rebuild:
        with ExitStack() as locks:
            for share in _shares(settings, None):
                locks.enter_context(_hold(settings, share))
            delete_rows(settings)
        note("Every feature row is forgotten; they are derived again.")
    with ExitStack() as locks:
        if once:
            for share in shares:
                locks.enter_context(_hold(settings, share))
            _run_once(settings, shares, quiet=quiet)
        else:
            _run_on(settings, _first_free(settings, shares, locks))


def _shares(settings: Settings, partition: int | None) -> list[Partition]:
    count = settings.partitions
    if partition is None:
        return [Partition(i, count) for i in range(count)]
    if partition >= count:
        raise InvalidInput(
            f"There is no partition {partition}.",
            field="--partition",
            remedy=f"LEADS_PARTITIONS is {count}: partitions count from 0 to {count - 1}.",
        )
    return [Partition(partition, count)]


def _hold(settings: Settings, share: Partition) -> AbstractContextManager[None]:
    which = "" if share.count == 1 else f" for partition {share.index} of {share.count}"
    return only_one(settings.root / f"worker-{share.index}of{share.count}.lock", what=f"running the worker{which}")


def _first_free(settings: Settings, shares: Sequence[Partition], locks: ExitStack) -> Partition:
    for share in shares[:-1]:
        with suppress(Conflict):
            locks.enter_context(_hold(settings, share))
            return share
    locks.enter_context(_hold(settings, shares[-1]))
    return shares[-1]


def _run_once(settings: Settings, shares: Sequence[Partition], *, quiet: bool) -> None:
    done, has_models = Progress(0, 0, 0), False
    with ExitStack() as open_workers:
        workers = [open_workers.enter_context(_worker(settings, share, background=False)) for share in shares]
        if len(workers) > 1:
            # Scores read rows of every partition, so all are there before the first is made.
            for worker, share in zip(workers, shares, strict=True):
                with progress(f"partition {share.index}") as tell:
                    worker.fold(on_progress=tell)
        for worker in workers:
            with progress("events folded") as tell:
                one = worker.run_once(on_progress=tell)
            done = Progress(one.offset, done.scored + one.scored, done.opened + one.opened)
            has_models = worker.has_models
    note(
        f"Features reach event {done.offset:,}; {done.scored:,} subjects scored, {done.opened:,} leads opened."
        + ("" if has_models else " No model is published yet, so nothing was scored.")
    )
    if not quiet:
        step = ("leads queue", "the ranked queue") if has_models else ("leads train --all", "train on these features")
        next_steps(step)


def _run_on(settings: Settings, share: Partition) -> None:
    logs.set_up(settings)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with _worker(settings, share, background=True) as worker:
        _wait_for_follower(settings, stopped)
        worker.run(lambda: not stopped.is_set())


@contextmanager
def _worker(settings: Settings, share: Partition, *, background: bool) -> Iterator[Worker]:
    policies = load_policies(settings.policies)
    engine = open_engine(settings)
    published = Published(settings, policies, engine)
    if background:
        published.start()
    else:
        follow_once(settings)
        published.refresh()
    reader = GuardedReader(open_reader(settings), timeout_s=_STORE_S)
    reader.warm_up()
    log = PredictionLog(settings.predictions_dir, owner="worker")
    log.start()
    trials = Trials(policies, published.retreats)
    if background:
        trials.start()
    try:
        scorer = Scorer(engine, policies, reader, published, log, trials)
        materializer = Materializer(settings, engine, partition=share)
        with compacting(materializer.segments), compaction.compacting(settings.predictions_dir):
            yield Worker(policies, engine, scorer, published, materializer)
    finally:
        trials.stop()
        try:
            log.close()
        finally:
            reader.close()
            published.stop()
            engine.dispose()


def follow_once(settings: Settings) -> None:
    """Publish what the registry's aliases name now, unless a follower does that already or no registry exists."""
    from models.registry.mlflow_registry import MlflowRegistry
    from serving.versions.follower import Follower

    database = sa.make_url(settings.mlflow).database if settings.mlflow.startswith("sqlite") else None
    if database is not None and not Path(database).exists():
        return
    try:
        with only_one(settings.published_dir / ".follower.lock", what="following the registry"):
            Follower(settings, load_policies(settings.policies), MlflowRegistry(settings)).step()
    except Conflict:
        return
    except LeadsError as error:
        _log.warning("keeping what is published: %s", error)


def _wait_for_follower(settings: Settings, stopped: threading.Event) -> None:
    """The first scores shall come from the versions the registry names now, not from those of an earlier run."""
    began, deadline = clock.now(), time.monotonic() + _FOLLOWER_S
    while time.monotonic() < deadline and not stopped.wait(0.1):
        try:
            if read_state(settings.published_dir).checked_at >= began:
                # Workers look for changes twice a second.
                stopped.wait(1.0)
                return
        except LeadsError:
            continue
    _log.warning("the follower has not looked at the registry yet; going on with what is published")

"""`leads worker`: puts the worker together and runs it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from features.materialize import Materializer, forget
from features.online import open_reader
from leads import clock
from leads.errors import Conflict, LeadsError
from leads.files import only_one
from leads.policies import load_policies
from leads.predictions import PredictionLog
from leads.screens import next_steps, note, progress
from leads.settings import Settings
from leads.tables import open_engine
from serving.published import Published, read_state
from serving.scoring import Scorer
from serving.worker import Worker

_FOLLOWER_S = 60.0
_log = logging.getLogger(__name__)


def run(settings: Settings, *, once: bool, rebuild: bool, quiet: bool) -> None:
    """Run until SIGINT or SIGTERM, or with `once` until everything in the log now is done.

    Raises:
        Conflict: another worker runs on this home.
    """
    with only_one(settings.root / "worker.lock", what="running the worker"):
        if rebuild:
            forget(settings)
            note("Every feature row is forgotten; they are derived again.")
        with _worker(settings, background=not once) as worker:
            if once:
                _run_once(worker, quiet=quiet)
            else:
                stopped = threading.Event()
                for number in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(number, lambda *_: stopped.set())
                _wait_for_follower(settings, stopped)
                worker.run(lambda: not stopped.is_set())


def _run_once(worker: Worker, *, quiet: bool) -> None:
    with progress("events folded") as tell:
        done = worker.run_once(on_progress=tell)
    note(
        f"Features reach event {done.offset:,}; {done.scored:,} subjects scored, {done.opened:,} leads opened."
        + ("" if worker.has_models else " No model is published yet, so nothing was scored.")
    )
    if not quiet:
        step = (
            ("leads queue", "the ranked queue")
            if worker.has_models
            else ("leads train --all", "train on these features")
        )
        next_steps(step)


@contextmanager
def _worker(settings: Settings, *, background: bool) -> Iterator[Worker]:
    policies = load_policies(settings.policies)
    engine = open_engine(settings)
    published = Published(settings)
    if background:
        published.start()
    else:
        follow_once(settings)
        published.refresh()
    reader = open_reader(settings)
    log = PredictionLog(settings.predictions_dir, owner="worker")
    log.start()
    try:
        scorer = Scorer(engine, policies, reader, published, log)
        yield Worker(policies, engine, scorer, published, Materializer(settings, engine))
    finally:
        log.close()
        reader.close()
        published.stop()
        engine.dispose()


def follow_once(settings: Settings) -> None:
    """Publish what the registry's aliases name now, unless a follower does that already or no registry exists."""
    from models.registry import Registry
    from serving.follower import Follower

    database = sa.make_url(settings.mlflow).database if settings.mlflow.startswith("sqlite") else None
    if database is not None and not Path(database).exists():
        return
    try:
        with only_one(settings.published_dir / ".follower.lock", what="following the registry"):
            Follower(settings, load_policies(settings.policies), Registry(settings)).step()
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

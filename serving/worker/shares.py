"""Which process is a partition's worker: one of all that use the home, and of all hosts that share the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from features.partition import Partition
from leads.db.locks.named_lock import NamedLock
from leads.errors import Conflict, Unavailable
from leads.files import is_locked, only_one
from leads.settings import Settings

# How often a worker that waits asks whether a partition is free.
_ASK_S = 1.0
_log = logging.getLogger(__name__)

StillHeld = Callable[[], bool]


@contextmanager
def held(settings: Settings, share: Partition) -> Iterator[StillHeld]:
    """Be a partition's only worker while the context is open. Yields a function that says whether this is still so.

    Raises:
        Conflict: another worker is running on the partition.
        Unavailable: the database doesn't respond.
    """
    which = "" if share.count == 1 else f" for partition {share.index} of {share.count}"
    with (
        only_one(lock_path(settings, share), what=f"running the worker{which}"),
        closing(NamedLock(settings, f"leads worker {share.index} of {share.count}")) as lock,
    ):
        if not lock.acquire():
            raise Conflict(
                f"Another process with the same database is running the worker{which}.",
                field="LEADS_DATABASE_URL",
                remedy="Wait until it finishes, or stop it.",
            )
        yield lock.held


def is_working(settings: Settings, share: Partition) -> bool:
    """Whether a worker of this home processes the partition."""
    return is_locked(lock_path(settings, share))


def lock_path(settings: Settings, share: Partition) -> Path:
    """The file that the partition's worker holds locked."""
    return settings.root / f"worker-{share.index}of{share.count}.lock"


@contextmanager
def first_free(settings: Settings, partitions: Sequence[Partition]) -> Iterator[tuple[Partition, StillHeld]]:
    """Be the only worker of the first of these partitions that has none; raises as `held`."""
    with ExitStack() as opened:
        for share in partitions:
            try:
                still_held = opened.enter_context(held(settings, share))
            except Conflict:
                if share == partitions[-1]:
                    raise
            else:
                yield share, still_held
                return


@contextmanager
def next_free(
    settings: Settings, partitions: Sequence[Partition], stopped: threading.Event
) -> Iterator[tuple[Partition, StillHeld] | None]:
    """Like `first_free`, but wait until one of the partitions is free; None once `stopped` is set."""
    said = ""
    with ExitStack() as opened:
        while not stopped.is_set():
            try:
                found = opened.enter_context(first_free(settings, partitions))
            except (Conflict, Unavailable) as error:
                if error.message != said:
                    _log.info("waiting to take over: %s", error.message)
                said = error.message
                stopped.wait(_ASK_S)
            else:
                yield found
                return
        yield None

"""Builds the rows of a new generation of features from the event log, beside the live ones.

It folds the whole log into rows of its own, and writes them online once. It can be killed at any time: the next run
continues from what is stored. At the end, workers take the new rows over and keep them current.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from sqlalchemy.engine import Engine

from features.declared import generations
from features.declared.generations import DeclaredFeatures, Generation
from features.deletion import delete_generation
from features.materialize import Materializer
from features.partition import Partition
from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.errors import Conflict
from leads.settings import Settings

# Workers take rows over that are at most so many events behind the log.
_NEAR = 2_000
OnProgress = Callable[[int, int], None]


def start(settings: Settings, engine: Engine, declared: DeclaredFeatures) -> Generation:
    """Record the generation to build, or continue with it. Another one that isn't live yet is deleted.

    Own views are not in its rows, so that others are only recorded.

    Raises:
        Conflict: another one is ready, and workers are taking it over.
    """
    with reading(engine) as connection:
        coming = generations.coming_generation(connection)
    if coming is not None and coming.declared.without_views.written == declared.without_views.written:
        with engine.begin() as connection:
            generations.redeclare(connection, coming.number, declared)
        return coming._replace(declared=declared)
    if coming is not None:
        if coming.state == "ready":
            raise Conflict(
                "Workers are taking over the features that were applied last.",
                remedy="Wait until they are live, which takes seconds: leads features list",
            )
        delete_generation(settings, coming.features)
        with engine.begin() as connection:
            generations.forget(connection, coming.number)
    with engine.begin() as connection:
        return generations.begin(connection, declared)


def build(settings: Settings, engine: Engine, generation: Generation, *, on_progress: OnProgress) -> None:
    """Build the rows of all partitions, and record that they are ready.

    Args:
        on_progress: called with the number of events done and their total, of all partitions together.
    """
    shares = [Partition(i, settings.partitions) for i in range(settings.partitions)]
    for share in shares:
        _build(settings, engine, generation, share, len(shares), on_progress)
    with engine.begin() as connection:
        generations.set_ready(connection, generation.number, _first(engine))


def _build(
    settings: Settings, engine: Engine, generation: Generation, share: Partition, count: int, on_progress: OnProgress
) -> None:
    with closing(Materializer(settings, engine, partition=share, features=generation.features)) as rows:

        def tell(head: int) -> None:
            with engine.begin() as connection:
                generations.report(connection, generation.number, share, rows.offset, head)
            on_progress(share.index * head + rows.offset, count * head)

        head = _head(engine)
        tell(head)
        while head - rows.offset > _NEAR:
            rows.step()
            rows.save()
            head = _head(engine)
            tell(head)
        # Writes the rows online too.
        rows.run_to_head()
        tell(_head(engine))


def _head(engine: Engine) -> int:
    with reading(engine) as connection:
        return event_log.head(connection).offset


def _first(engine: Engine) -> Micros:
    """When the first event of the log became visible; 0 if it is empty."""
    first = event_log.read(engine, 0, limit=1)
    return first[0].visible_at if first else 0

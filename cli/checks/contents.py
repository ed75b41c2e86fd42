"""What a home's database holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from features.declared.generations import coming_generation
from leads.clock import Micros
from leads.db import canary_retreats, cursors, event_log, tables
from leads.db.canary_retreats import Retreat
from leads.db.engine import has_tables, open_engine, reading, schema_revision
from leads.policies import Policies
from leads.settings import Settings
from serving.queue import states
from serving.queue.stats import Depth, depths


class Counts(NamedTuple):
    """What the database holds; `coming` is the number of a generation of features that isn't live yet, 0 for none."""

    revision: str
    events: int
    newest: Micros
    scored: int
    leads: Mapping[str, Depth]
    keys: int
    retreats: Mapping[tuple[str, str], Retreat]
    rebuilding: bool
    coming: int


def counts_of(settings: Settings, policies: Policies) -> Counts | None:
    """What the database holds; None if there is none, or it has no tables yet.

    Raises:
        ConfigurationError: its schema is older than this version needs.
        Unavailable: it doesn't answer.
    """
    if not has_tables(settings):
        return None
    engine = open_engine(settings, create=False)
    try:
        return _count(engine, settings.partitions, policies)
    finally:
        engine.dispose()


def _count(engine: Engine, partitions: int, policies: Policies) -> Counts:
    keys = tables.api_keys
    revision = schema_revision(engine)
    with reading(engine) as connection:
        head = event_log.head(connection)
        # A harm that was removed from the policies still has its leads.
        harms = {*policies.harms, *(harm for harm, _ in states.counts(connection))}
        valid = sa.select(sa.func.count()).select_from(keys).where(keys.c.revoked_at.is_(None))
        return Counts(
            revision or "unknown",
            head.offset,
            head.visible_at,
            cursors.scored(connection, partitions),
            {harm: one for harm, one in depths(connection, harms).items() if any(one.leads.values())},
            connection.execute(valid).scalar_one(),
            canary_retreats.standing(connection),
            cursors.rebuilding(connection, partitions),
            coming.number if (coming := coming_generation(connection)) else 0,
        )

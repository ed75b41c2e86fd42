"""Revision 0008 ranks and counts the leads that are there, and lets the previous release run on."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db.engine import migrate, unchecked_engine, upgrade
from leads.db.tables import lead_counts, leads, reviews
from leads.settings import Settings
from serving.queue import ranks
from serving.queue.ranks import rank_of

NOW = clock.from_text("2026-03-01T12:00:00Z")
# What the previous release writes.
OLD_COLUMNS = [column for column in leads.c if column.name not in ("rank", "ranked_for")]


@pytest.fixture
def bare(any_settings: Settings) -> Iterator[Engine]:
    engine = unchecked_engine(any_settings)
    upgrade(engine, "0007")
    yield engine
    engine.dispose()


def old_insert(engine: Engine, *names: str, weight: float = 2.0) -> None:
    """Insert leads as the previous release does, without the new columns."""
    table = sa.table("leads", *(sa.column(column.name, column.type) for column in OLD_COLUMNS))
    row = {
        "type_id": "comment", "harm": "spam", "state": "open", "score": 0.5, "tier": "review", "model_version": "1",
        "prediction_id": "p", "reasons": [], "base_priority": weight, "created_at": NOW, "scored_at": NOW,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(sa.insert(table), [row | {"id": f"l_{name}", "subject_id": name} for name in names])


def test_upgrading_ranks_and_counts_what_is_there(any_settings: Settings, bare: Engine) -> None:
    old_insert(bare, "a", "b")
    old_insert(bare, "zero", weight=0.0)
    old = sa.table("reviews", *(sa.column(column.name, column.type) for column in reviews.c if column.name != "harm"))
    with bare.begin() as connection:
        row = {"id": "r_1", "lead_id": "l_a", "purpose": "ranked", "content_offset": 0, "content_hash": "x",
               "state": "released", "reviewer": "ann", "created_at": NOW, "fence": 1, "ended_at": NOW}  # fmt: skip
        connection.execute(sa.insert(old), row)
    assert migrate(any_settings).before == "0007"
    with bare.connect() as connection:
        basis = ranks.current(connection)
        for lead in connection.execute(sa.select(leads)):
            assert lead.rank == pytest.approx(rank_of(lead.base_priority, NOW, basis))
            assert math.isfinite(lead.rank)
        assert not ranks.any_stale(connection)
        assert connection.execute(sa.select(lead_counts.c.harm, lead_counts.c.state, lead_counts.c.n)).all() == [
            ("spam", "open", 3)
        ]
        assert connection.execute(sa.select(reviews.c.harm)).scalar() == "spam"


def test_the_previous_release_writes_on_the_new_schema(any_settings: Settings, bare: Engine) -> None:
    migrate(any_settings)
    old_insert(bare, "a")
    with bare.connect() as connection:
        assert ranks.any_stale(connection)

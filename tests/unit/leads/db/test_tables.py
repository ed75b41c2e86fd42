"""The migrations create exactly the tables that the code declares, on both databases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Engine

from leads.db.access import uses  # noqa: F401
from leads.db.monitoring import tables as monitoring_tables  # noqa: F401
from leads.db.outbox import tables as outbox_tables  # noqa: F401
from leads.db.progress import feature_generations, fold_tables  # noqa: F401
from leads.db.tables import metadata


def test_the_migrations_create_the_declared_tables(any_engine: Engine) -> None:
    with any_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_partial_indices_are_partial_on_both_databases(any_engine: Engine) -> None:
    """Autogenerate doesn't compare the conditions of indices."""
    indices = {index["name"]: index for index in sa.inspect(any_engine).get_indexes("events")}
    for name in ("ix_events_subject", "ix_events_kind_offset"):
        options = indices[name]["dialect_options"]
        assert "played" in str(options[f"{any_engine.dialect.name}_where"])

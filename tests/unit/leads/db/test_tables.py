"""The migrations create exactly the tables that the code declares, on both databases."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Engine

from leads.db.tables import cursors, metadata, open_engine, reading, upgrade
from leads.errors import Unavailable
from leads.settings import Settings, load_settings


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


def test_migrating_twice_changes_nothing(any_engine: Engine) -> None:
    with any_engine.begin() as connection:
        connection.execute(sa.insert(cursors).values(name="reader", offset=7))
    upgrade(any_engine)
    with reading(any_engine) as connection:
        assert connection.execute(sa.select(cursors.c.offset)).scalars().all() == [7]


def test_two_processes_can_start_together(any_settings: Settings) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            open_engine(any_settings).dispose()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_unreachable_database_raises_unavailable(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://nobody:hunter2@/leads?host={tmp_path}"
    with pytest.raises(Unavailable) as refused:
        open_engine(load_settings(home=tmp_path, database_url=url))
    assert refused.value.field == "LEADS_DATABASE_URL"
    assert "hunter2" not in str(refused.value)


def test_readers_dont_wait_for_writers(engine: Engine) -> None:
    with engine.begin() as writer:
        writer.execute(sa.insert(cursors).values(name="reader", offset=1))
        with reading(engine) as reader:
            assert reader.execute(sa.select(cursors.c.offset)).all() == []

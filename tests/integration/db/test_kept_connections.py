"""The connections that scoring threads keep: one each, replaced when the server drops it, closed with the engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.db.content.kept import KeptConnections
from leads.db.engine import open_engine
from leads.errors import Unavailable
from leads.settings import load_settings

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(migrated_postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    settings = load_settings(home=tmp_path_factory.mktemp("home"), corpora="", database_url=migrated_postgresql_url)
    opened = open_engine(settings, timeout_s=2.0)
    yield opened
    opened.dispose()


def server_process(connection: Connection) -> int:
    return int(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())


def others(engine: Engine) -> list[int]:
    """The server's processes of this database, except for the one that is asked."""
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with engine.connect() as connection:
        return [pid for (pid,) in connection.execute(sa.text(query))]


def test_a_thread_keeps_its_connection_and_no_transaction(engine: Engine) -> None:
    kept = KeptConnections(engine)
    mine = {kept.read(server_process) for _ in range(3)}
    both = threading.Barrier(2, timeout=60)

    def in_another_thread(_: int) -> int:
        both.wait()
        return kept.read(server_process)

    with ThreadPoolExecutor(2) as pool:
        theirs = set(pool.map(in_another_thread, range(2)))
    assert len(mine) == 1
    assert len(mine | theirs) == 3
    with engine.connect() as connection:
        states = connection.execute(
            sa.text("SELECT state FROM pg_stat_activity WHERE pid = ANY(:pids) AND pid <> pg_backend_pid()"),
            {"pids": list(mine | theirs)},
        ).scalars()
        assert set(states) <= {"idle"}


def test_a_connection_that_the_server_dropped_is_replaced(engine: Engine) -> None:
    kept = KeptConnections(engine)
    before = kept.read(server_process)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 30000)"), {"pid": before})
    assert kept.read(server_process) != before


def test_after_an_error_it_is_opened_again(engine: Engine) -> None:
    kept = KeptConnections(engine)
    before = kept.read(server_process)
    with pytest.raises(sa.exc.ProgrammingError):
        kept.read(lambda connection: connection.execute(sa.text("SELECT nothing_like_this")))
    with pytest.raises(Unavailable):
        kept.read(lambda connection: connection.execute(sa.text("SELECT pg_sleep(30)")))
    assert kept.read(server_process) != before


def test_one_that_nothing_needs_goes_back_to_the_pool(engine: Engine) -> None:
    pids = {KeptConnections(engine).read(server_process) for _ in range(30)}
    assert len(pids) == 1


def test_they_are_closed_with_the_engine(engine: Engine) -> None:
    kept = KeptConnections(engine)
    pid = kept.read(server_process)
    engine.dispose()
    for _ in range(600):
        if pid not in others(engine):
            break
        threading.Event().wait(0.05)
    assert pid not in others(engine)
    assert kept.read(server_process) != pid

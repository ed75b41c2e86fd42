"""Connections that scoring keeps: replaced when the server drops one, closed with the engine, asked without a wait."""

from __future__ import annotations

import threading
import time
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


def prompt(engine: Engine) -> KeptConnections:
    """Connections of which one is open, to a server that has answered promptly."""
    kept = KeptConnections(engine)
    while not kept.prompt:
        kept.read(server_process)
    return kept


def test_there_are_as_many_as_are_used_at_once_and_no_transaction(engine: Engine) -> None:
    kept = KeptConnections(engine)
    mine = {kept.read(server_process) for _ in range(3)}
    both = threading.Barrier(2, timeout=60)

    def at_once(connection: Connection) -> int:
        both.wait()
        return server_process(connection)

    with ThreadPoolExecutor(2) as pool:
        theirs = {found.result() for found in [pool.submit(kept.read, at_once) for _ in range(2)]}
    assert len(mine) == 1
    assert mine < theirs
    assert len(theirs) == 2
    with engine.connect() as connection:
        states = connection.execute(
            sa.text("SELECT state FROM pg_stat_activity WHERE pid = ANY(:pids) AND pid <> pg_backend_pid()"),
            {"pids": list(theirs)},
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


TEXTS = ["plain", 'a"b', "c\\d", "{e,f}", "", "NULL", "这首歌", "'; --"]


def test_what_is_asked_is_read_later(engine: Engine) -> None:
    kept = prompt(engine)
    for _ in range(3):
        asked = kept.ask("SELECT n, x, NULL FROM unnest($1::text[]) WITH ORDINALITY given(x, n)", [TEXTS])
        assert asked is not None
        expected = [(b"%d" % i, text.encode(), None) for i, text in enumerate(TEXTS, start=1)]
        assert asked.rows() == expected
        one = kept.ask("SELECT $1::text", ["'; --"])
        assert one is not None
        assert one.rows() == [(b"'; --",)]


def test_what_nobody_reads_does_not_reach_the_next(engine: Engine) -> None:
    kept = prompt(engine)
    first = kept.ask("SELECT $1::text", ["first"])
    assert first is not None
    first.finish()
    second = kept.ask("SELECT $1::text", ["second"])
    assert second is not None
    assert second.rows() == [(b"second",)]
    second.finish()


def test_only_open_connections_to_a_prompt_server_are_asked(engine: Engine) -> None:
    kept = KeptConnections(engine)
    assert kept.ask("SELECT $1::text", ["early"]) is None
    kept = prompt(engine)
    held = kept.ask("SELECT $1::text", ["held"])
    assert held is not None
    assert kept.ask("SELECT $1::text", ["none is idle"]) is None
    assert held.rows() == [(b"held",)]


def test_a_late_answer_closes_the_connection_and_the_server_is_read_with_waiting_again(engine: Engine) -> None:
    kept = prompt(engine)
    before = kept.read(server_process)
    asked = kept.ask("SELECT pg_sleep($1::text::float8)", ["30"])
    assert asked is not None
    began = time.monotonic()
    assert asked.rows() is None
    assert time.monotonic() - began < 10
    assert not kept.prompt
    assert kept.ask("SELECT $1::text", ["again"]) is None
    assert kept.read(server_process) != before


@pytest.mark.parametrize("statement", ["SELECT nothing_like_this, $1::text", "SELECT 1 / length($1::text)"])
def test_a_statement_that_fails_has_no_rows(engine: Engine, statement: str) -> None:
    kept = prompt(engine)
    asked = kept.ask(statement, [""])
    assert asked is None or asked.rows() is None
    assert not kept.prompt
    assert kept.read(server_process)


def test_a_connection_that_the_server_dropped_is_not_asked(engine: Engine) -> None:
    kept = prompt(engine)
    before = kept.read(server_process)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 30000)"), {"pid": before})
    asked = kept.ask("SELECT $1::text", ["lost"])
    assert asked is None or asked.rows() is None
    assert kept.read(server_process) != before


def test_a_connection_that_comes_back_from_the_pool_is_prepared_again(engine: Engine) -> None:
    for _ in range(3):
        asked = prompt(engine).ask("SELECT $1::text", ["x"])
        assert asked is not None
        assert asked.rows() == [(b"x",)]
        del asked

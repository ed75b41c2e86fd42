"""With a slow, hung, missing or damaged database, callers get Unavailable within a limited time."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.breaker import IN_A_ROW
from leads.db.engine import (
    MAX_CONNECTIONS,
    migrate,
    newest_revision,
    open_engine,
    reading,
    schema_revision,
    unchecked_engine,
)
from leads.db.items import current_items
from leads.errors import Unavailable
from leads.events import Subject
from leads.settings import Settings, load_settings

# They start servers and wait for time-outs.
pytestmark = pytest.mark.slow


@pytest.fixture
def bounded(postgresql_url: str, tmp_path: Path) -> Iterator[Engine]:
    """An engine on PostgreSQL with a statement timeout of a second."""
    settings = load_settings(home=tmp_path, corpora="", database_url=postgresql_url)
    migrate(settings)
    engine = open_engine(settings, timeout_s=1.0)
    yield engine
    engine.dispose()


def one(engine: Engine, query: str = "SELECT 1") -> object:
    with reading(engine) as connection:
        return connection.execute(sa.text(query)).scalar()


def refused(engine: Engine, query: str = "SELECT 1") -> Unavailable:
    with pytest.raises(Unavailable) as error:
        one(engine, query)
    return error.value


def test_a_slow_statement_is_cancelled(bounded: Engine) -> None:
    error = refused(bounded, "SELECT pg_sleep(60)")
    assert "QueryCanceled" in str(error)
    assert (error.field, error.status) == ("LEADS_DATABASE_URL", 503)
    assert one(bounded) == 1


def test_the_timeout_survives_a_rollback_and_holds_on_every_connection(bounded: Engine) -> None:
    for _ in range(2):
        with ExitStack() as open_ones:
            connections = [open_ones.enter_context(reading(bounded)) for _ in range(3)]
            assert {str(x.execute(sa.text("SHOW statement_timeout")).scalar()) for x in connections} == {"1s"}


def test_jobs_have_no_timeout(postgresql_url: str, tmp_path: Path) -> None:
    engine = unchecked_engine(load_settings(home=tmp_path, corpora="", database_url=postgresql_url))
    assert one(engine, "SHOW statement_timeout") == "0"
    engine.dispose()


@pytest.mark.slow
def test_migrating_has_no_timeout(postgresql_url: str, tmp_path: Path) -> None:
    """When two processes start together, the second waits until the first has migrated."""
    settings = load_settings(home=tmp_path, corpora="", database_url=postgresql_url)
    holder = unchecked_engine(settings)
    with holder.begin() as connection:
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7235019)"))
        waiting = threading.Thread(target=migrate, args=(settings,))
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive()
    waiting.join(60)
    assert schema_revision(holder) == newest_revision()
    holder.dispose()


@pytest.fixture
def stopped() -> Iterator[Callable[[object], None]]:
    """Suspends a server process until the test is over."""
    if "LEADS_TEST_DATABASE_URL" in os.environ:
        pytest.skip("signals the server's processes")
    pids: list[int] = []

    def stop(pid: object) -> None:
        assert isinstance(pid, int)
        pids.append(pid)
        os.kill(pid, signal.SIGSTOP)

    yield stop
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_a_hung_server_is_given_up_on(bounded: Engine, stopped: Callable[[object], None]) -> None:
    with reading(bounded) as connection:
        pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
        stopped(pid)
        with pytest.raises(Unavailable):
            connection.execute(sa.text("SELECT 1"))
    assert one(bounded, "SELECT pg_backend_pid()") != pid


def test_a_connection_that_hung_while_idle_is_replaced(bounded: Engine, stopped: Callable[[object], None]) -> None:
    pid = one(bounded, "SELECT pg_backend_pid()")
    stopped(pid)
    assert one(bounded, "SELECT pg_backend_pid()") != pid


def test_dropped_connections_are_replaced(bounded: Engine) -> None:
    with ExitStack() as open_ones:
        connections = [open_ones.enter_context(reading(bounded)) for _ in range(3)]
        pids = [x.execute(sa.text("SELECT pg_backend_pid()")).scalar() for x in connections]
    for pid in pids[1:]:
        one(bounded, f"SELECT pg_terminate_backend({pid})")
    assert [one(bounded) for _ in range(4)] == [1] * 4


def test_losing_a_connection_raises_unavailable(bounded: Engine) -> None:
    with reading(bounded) as connection:
        pid = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
        one(bounded, f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(Unavailable):
            connection.execute(sa.text("SELECT 1"))
    assert one(bounded) == 1


def test_waiting_for_a_free_connection_is_limited(bounded: Engine) -> None:
    with ExitStack() as open_ones:
        for _ in range(MAX_CONNECTIONS):
            open_ones.enter_context(reading(bounded))
        assert "in use" in str(refused(bounded))
    assert one(bounded) == 1


def test_our_own_mistakes_are_not_translated(any_engine: Engine) -> None:
    twice = sa.text("INSERT INTO cursors (name, \"offset\") VALUES ('x', 1), ('x', 1)")
    with any_engine.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.execute(twice)


@pytest.mark.slow
def test_calls_to_a_silent_server_are_paused(tmp_path: Path) -> None:
    heard: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    heard.append(server.accept()[0])
                except OSError:
                    return

        listening = threading.Thread(target=listen)
        listening.start()
        url = f"postgresql+psycopg://nobody:hunter2@127.0.0.1:{server.getsockname()[1]}/leads?sslmode=disable"
        engine = unchecked_engine(load_settings(home=tmp_path, database_url=url), timeout_s=1)
        errors = [refused(engine) for _ in range(IN_A_ROW)]
        called = len(heard)
        errors += [refused(engine) for _ in range(20)]
        assert called == IN_A_ROW
        assert len(heard) < called + 10
        assert "recently" in str(errors[-1])
        assert all("hunter2" not in str(error) for error in errors)
        engine.dispose()
        server.shutdown(socket.SHUT_RDWR)
    listening.join(30)
    for connection in heard:
        connection.close()


def test_a_recovered_server_is_used_again(postgresql_url: str, tmp_path: Path) -> None:
    good = sa.make_url(postgresql_url)
    folder = good.query.get("host")
    if not isinstance(folder, str):
        pytest.skip("needs a server that listens on a socket in a folder")
    # The path of a Unix socket is limited to about a hundred characters.
    with tempfile.TemporaryDirectory() as short:
        link = Path(short) / "pg"
        url = good.update_query_dict({"host": str(link)}).render_as_string(hide_password=False)
        engine = unchecked_engine(load_settings(home=tmp_path, database_url=url), timeout_s=1)
        for _ in range(IN_A_ROW):
            assert "OperationalError" in str(refused(engine))
        assert "recently" in str(refused(engine))
        link.symlink_to(folder)
        answer: object = None
        while answer is None:
            with suppress(Unavailable):
                answer = one(engine)
            time.sleep(0.05)
        assert [one(engine) for _ in range(3)] == [1] * 3
        engine.dispose()


def test_a_damaged_file_raises_unavailable(settings: Settings, engine: Engine) -> None:
    engine.dispose()
    for path in settings.root.glob("leads.db*"):
        path.write_bytes(b"garbage" * 1_000)
    assert "DatabaseError" in str(refused(engine))
    with pytest.raises(Unavailable), reading(engine) as connection:
        current_items(connection, [Subject("comment", "c1")])

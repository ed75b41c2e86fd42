"""Several hosts, each with a home of its own, share a PostgreSQL database and a Redis."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import keys
from leads.db.engine import open_engine
from leads.db.locks.named_lock import NamedLock
from leads.settings import Settings, load_settings
from leads_client import Client, item, subject
from serving.versions.published_state import PublishedState, read_state, write_state
from tests.support.serving.instances import Served, serving, until
from tests.support.serving.world import SPAM_TEXT, publish

# Those that hold a name in this database.
_END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE locktype = 'advisory' AND datname = current_database() AND pid <> pg_backend_pid()
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def hosts(tmp_path: Path, migrated_postgresql_url: str, redis_address: str) -> list[Settings]:
    """The settings of two hosts, on which the same version is published."""
    made = [
        load_settings(
            home=tmp_path / name,
            corpora="none",
            database_url=migrated_postgresql_url,
            online_store="redis",
            redis_url=redis_address,
        )
        for name in ("one", "two")
    ]
    publish(made[0], "spam")
    shutil.copytree(made[0].published_dir, made[1].published_dir)
    for one in made:
        # No registry runs here. Workers must not wait for a follower to read it.
        write_state(one.published_dir, PublishedState(clock.now() + clock.HOUR, read_state(one.published_dir).harms))
    return made


@pytest.fixture
def database(hosts: list[Settings]) -> Iterator[Engine]:
    opened = open_engine(hosts[0])
    yield opened
    opened.dispose()


def holder(instance: Served) -> bool:
    """Whether the instance's worker has taken the partition."""
    log = instance.settings.root / "logs" / "worker.log"
    return log.exists() and "waiting for a follower" in log.read_text()


def test_both_answer_and_one_runs_the_worker_until_it_ends(hosts: list[Settings], database: Engine) -> None:
    key = keys.create(database, "x", ["admin"]).text
    with serving(hosts[0]) as first:
        until(lambda: first.ready() and holder(first), first.said)
        with serving(hosts[1]) as second, Client(first.url, key) as one, Client(second.url, key) as two:
            until(second.ready, second.said)
            waits = "waiting to take over: Another process with the same database is running the worker."
            until(lambda: waits in (hosts[1].root / "logs" / "worker.log").read_text(), second.said)
            one.items([item("comment", "c1", text=SPAM_TEXT, account_id="a1")])
            two.items([item("comment", "c2", text=SPAM_TEXT, account_id="a1")])
            # Both see both leads, though one worker made them.
            until(lambda: {lead.subject.id for lead in two.leads().leads} == {"c1", "c2"}, first.said)
            for client in (one, two):
                scores = client.score([subject("comment", "c1")], ["spam"]).results[0].scores
                assert scores[0].score > 0.9
            claimed = [client.claim("ann", 1).leads[0].subject.id for client in (one, two)]
            assert sorted(claimed) == ["c1", "c2"]
            assert not holder(second)

            first.children()
            first.process.terminate()
            assert first.process.wait(120) == 0
            until(lambda: holder(second), second.said)
            # It has scored nothing of what was scored already, and opens leads for what is new.
            two.items([item("comment", "c3", text=SPAM_TEXT, account_id="a1")])
            until(lambda: {lead.subject.id for lead in two.leads().leads} == {"c3"}, second.said)
            assert (hosts[1].root / "logs" / "worker.log").read_text().count(waits) == 1

            with serving(hosts[0]) as third, Client(third.url, key) as again:
                until(third.ready, third.said)
                second.children()
                second.process.terminate()
                assert second.process.wait(120) == 0
                # Its own rows are older than those that the second host has written.
                until(lambda: (hosts[0].root / "logs" / "worker.log").read_text().count("a follower") >= 2, third.said)
                again.items([item("comment", "c4", text=SPAM_TEXT, account_id="a1")])
                until(lambda: {lead.subject.id for lead in again.leads().leads} == {"c3", "c4"}, third.said)


def test_a_name_is_held_by_one_process_until_its_session_ends(hosts: list[Settings], database: Engine) -> None:
    now = [0.0]

    def made(name: str = "a") -> NamedLock:
        return NamedLock(hosts[0], name, timer=lambda: now[0])

    with closing(made()) as mine, closing(made()) as other, closing(made("b")) as another:
        assert mine.acquire()
        assert another.acquire()
        assert not other.acquire()
        assert mine.held()

        def end_sessions() -> None:
            now[0] += 10
            with database.connect() as connection:
                connection.execute(sa.text(_END_SESSIONS))

        # The server was restarted, and nobody else was faster.
        end_sessions()
        assert mine.held()
        assert not other.acquire()
        # Somebody else was.
        end_sessions()
        assert other.acquire()
        assert not mine.held()
        other.close()
        assert mine.acquire()


def test_on_sqlite_every_process_holds_every_name(settings: Settings) -> None:
    with closing(NamedLock(settings, "a")) as one, closing(NamedLock(settings, "a")) as other:
        assert one.acquire()
        assert other.acquire()
        assert one.held()

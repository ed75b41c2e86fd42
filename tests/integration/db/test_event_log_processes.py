"""The event log under several processes, some of which are killed while they append."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.db import event_log
from leads.db.engine import reading
from leads.db.event_log import Head
from leads.db.tables import events as events_table
from leads.settings import Settings

BATCH = 300
# Appends batches of BATCH events whose ids name the writer and the batch, and says so after each commit.
APPENDER = f"""
import sys
from pathlib import Path
from leads import clock
from leads.db import event_log
from leads.events import Event, ItemCreated, SubjectRef
from leads.settings import load_settings
from leads.db.engine import open_engine

home, url, name, batches = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
engine = open_engine(load_settings(home=home, database_url=url))
for batch in range(batches):
    now = clock.now()
    body = ItemCreated(SubjectRef("comment", "c1"))
    new = [Event(f"{{name}}-{{batch}}-{{i}}", now, body) for i in range({BATCH})]
    with engine.begin() as connection:
        event_log.append(connection, "test", new)
    print(batch, flush=True)
"""


def start(settings: Settings, name: str, batches: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", APPENDER, str(settings.root), settings.database, name, str(batches)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(process: subprocess.Popen[str]) -> list[int]:
    """The batches it said were committed."""
    said, _ = process.communicate(timeout=120)
    return [int(line) for line in said.split()]


def batch_sizes(engine: Engine) -> Counter[str]:
    with reading(engine) as connection:
        ids = connection.execute(sa.select(events_table.c.id)).scalars()
        return Counter(event_id.rpartition("-")[0] for event_id in ids)


def assert_sound(engine: Engine) -> None:
    logged = event_log.read(engine, 0, limit=1_000_000)
    assert [one.offset for one in logged] == list(range(1, len(logged) + 1))
    visible = [one.visible_at for one in logged]
    assert all(a < b for a, b in pairwise(visible))
    with reading(engine) as connection:
        assert event_log.head(connection) == (Head(logged[-1].offset, logged[-1].visible_at) if logged else Head(0, 0))


def test_a_killed_appender_leaves_whole_batches(any_engine: Engine, any_settings: Settings) -> None:
    for attempt, delay in enumerate((0.0, 0.013, 0.037)):
        appender = start(any_settings, f"k{attempt}", 10_000)
        assert appender.stdout is not None
        first = appender.stdout.readline()
        time.sleep(delay)
        appender.kill()
        committed = [int(first), *finish(appender)]
        sizes = batch_sizes(any_engine)
        assert set(sizes.values()) == {BATCH}
        # Whatever was said to be committed is there; the batch after it may be.
        ours = {int(name.partition("-")[2]) for name in sizes if name.startswith(f"k{attempt}-")}
        assert ours in (set(committed), {*committed, max(committed) + 1})
    assert_sound(any_engine)


def test_two_processes_append_while_one_reads(any_engine: Engine, any_settings: Settings) -> None:
    appenders = [start(any_settings, name, 8) for name in ("a", "b")]
    after = 0
    deadline = time.monotonic() + 120
    while after < 2 * 8 * BATCH and time.monotonic() < deadline:
        for one in event_log.read(any_engine, after, limit=1_000):
            assert one.offset == after + 1
            after = one.offset
    assert [finish(appender) for appender in appenders] == [list(range(8))] * 2
    assert batch_sizes(any_engine) == {f"{name}-{batch}": BATCH for name in "ab" for batch in range(8)}
    assert_sound(any_engine)


def test_the_script_fails_where_there_is_no_database(tmp_path: Path, settings: Settings) -> None:
    """An appender that can't append must not look like one that was killed."""
    command = [sys.executable, "-c", APPENDER, str(tmp_path), "sqlite:////dev/null/leads.db", "x", "1"]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).returncode != 0

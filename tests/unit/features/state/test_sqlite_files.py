"""What was committed reaches the file itself in the background, and a checkpoint harms no transaction."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from features.state import sqlite_files
from features.state.sqlite import SqliteState
from features.state.sqlite_files import Checkpoints, set_up_writer


def opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    set_up_writer(connection, cache_kib=1_024)
    connection.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, value BLOB)")
    return connection


def in_file_alone(path: Path, copy: Path) -> int:
    """The number of rows in a copy of the file without its log."""
    shutil.copy(path, copy)
    connection = sqlite3.connect(copy)
    try:
        return int(connection.execute("SELECT count(*) FROM rows").fetchone()[0])
    except sqlite3.Error:
        return 0
    finally:
        connection.close()


def write(connection: sqlite3.Connection, checkpoints: Checkpoints, first: int, n: int) -> None:
    checkpoints.wait()
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO rows VALUES (?, ?)", ((first + i, bytes(400)) for i in range(n)))
    connection.execute("COMMIT")
    checkpoints.committed(n)


def test_a_checkpoint_follows_in_a_pause(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection, checkpoints = opened(path), Checkpoints(path, every=100)
    write(connection, checkpoints, 0, 99)
    time.sleep(5 * sqlite_files._PAUSE_S)
    assert in_file_alone(path, tmp_path / "copy") == 0
    write(connection, checkpoints, 99, 1)
    until = time.monotonic() + 10
    while in_file_alone(path, tmp_path / "copy") < 100 and time.monotonic() < until:
        time.sleep(0.01)
    assert in_file_alone(path, tmp_path / "copy") == 100
    connection.close()


def test_without_pauses_the_log_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_files, "_PAUSE_S", 60.0)
    path = tmp_path / "a.db"
    connection, checkpoints = opened(path), Checkpoints(path, every=100)
    for first in range(0, 20_000, 50):
        write(connection, checkpoints, first, 50)
    checkpoints.wait()
    assert path.with_name("a.db-wal").stat().st_size < 1_000_000 < path.stat().st_size
    connection.close()


def test_a_file_that_is_gone_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    checkpoints = Checkpoints(path, every=1)
    checkpoints.committed(4)
    checkpoints.wait()
    assert not path.exists()


def test_a_state_can_be_closed_and_opened_during_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for position in range(1, 20):
        state = SqliteState(path)
        assert state.position() == position - 1
        state.commit(position, {"item": {f"{i}": position.to_bytes(400, "big") for i in range(3_000)}})
        state.close()
    state = SqliteState(path)
    assert state.get("item", ["7"]) == {"7": (19).to_bytes(400, "big")}
    state.close()

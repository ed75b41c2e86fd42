"""What was committed reaches the file itself in the background, and a checkpoint harms no transaction."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from features.state import sqlite, sqlite_files
from features.state.sqlite import SqliteState
from features.state.sqlite_files import Checkpoints, set_up_writer
from leads.errors import Unavailable


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


class Slow(SqliteState):
    """Its commits wait until they may write, and then fail if they are told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may_write = threading.Event()
        self.fails = False

    def _put(self, view: str, rows: Mapping[str, bytes]) -> None:
        assert self.may_write.wait(60)
        if self.fails:
            raise sqlite3.OperationalError("disk I/O error")
        super()._put(view, rows)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    """A state with values of two commits, one of which is still being written."""
    monkeypatch.setattr(sqlite, "_LARGE", 3)
    state = Slow(tmp_path / "state.db")
    state.may_write.set()
    state.commit(1, {"item": {"a": b"1", "b": b"1"}})
    state.may_write.clear()
    state.commit(2, {"item": {"b": b"2", "c": b"2"}, "account": {"x": b"2"}})
    yield state
    state.may_write.set()
    with contextlib.suppress(Unavailable):
        state.close()


def test_values_are_read_while_a_large_commit_is_written(slow: Slow) -> None:
    before = SqliteState(slow._path)
    assert slow.get("item", ["a", "b", "c", "d"]) == {"a": b"1", "b": b"2", "c": b"2"}
    assert slow.get("account", ["x", "y"]) == {"x": b"2"}
    assert before.get("item", ["a", "b", "c"]) == {"a": b"1", "b": b"1"}
    assert before.position() == 1
    before.close()
    slow.may_write.set()
    assert slow.position() == 2
    assert slow.get("item", ["a", "b", "c", "d"]) == {"a": b"1", "b": b"2", "c": b"2"}


def test_the_next_commit_follows_the_one_that_is_written(slow: Slow, tmp_path: Path) -> None:
    slow.may_write.set()
    slow.commit(3, {"item": {"b": b"3"}})
    slow.close()
    after = SqliteState(tmp_path / "state.db")
    assert (after.position(), after.get("item", ["a", "b", "c"])) == (3, {"a": b"1", "b": b"3", "c": b"2"})
    after.close()


@pytest.mark.parametrize("call", ["position", "commit", "scan", "close", "get"])
def test_the_error_of_a_commit_is_raised_by_the_next_call(slow: Slow, call: str, tmp_path: Path) -> None:
    slow.fails = True
    slow.may_write.set()
    assert slow._committing is not None
    slow._committing.join()
    calls = {
        "position": slow.position,
        "commit": lambda: slow.commit(3, {}),
        "scan": lambda: list(slow.scan("item")),
        "close": slow.close,
        "get": lambda: slow.get("item", ["a"]),
    }
    with pytest.raises(Unavailable, match="disk I/O error"):
        calls[call]()
    slow.close()
    after = SqliteState(tmp_path / "state.db")
    assert (after.position(), after.get("item", ["b", "c"])) == (1, {"b": b"1"})
    after.close()


def test_a_large_commit_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    rows = {f"k{i}": str(i).encode() for i in range(2 * sqlite._LARGE + 7)}
    state = SqliteState(path)
    state.commit(5, {"item": rows})
    state.close()
    state = SqliteState(path)
    assert state.position() == 5
    assert {key: value for some in state.scan("item") for key, value in some.items()} == rows
    state.close()

"""A damaged state file says so, and how to start over; a file that can't be written says something else."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from features.state.sqlite import SqliteState
from leads.errors import Unavailable

ROWS = {f"comment:{i}": i.to_bytes(400, "big") for i in range(2_000)}
DAMAGED = r"state file .*state-0of1\.db is damaged .*delete .*state-0of1\.db\* .*--rebuild --once"


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def garbage_pages(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[4_096:] = random.Random(1).randbytes(len(raw) - 4_096)
    path.write_bytes(raw)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])


def another_file(path: Path) -> None:
    version = sqlite3.connect(path).execute("PRAGMA user_version").fetchone()[0]
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE position (x)")
    other.execute("CREATE TABLE item (x)")
    other.execute(f"PRAGMA user_version = {version}")
    other.close()


def text_as_position(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("UPDATE position SET offset = 'abc'")
    other.close()


def use_all(path: Path) -> None:
    """What a worker does with its state."""
    state = SqliteState(path)
    try:
        state.position()
        state.get("item", list(ROWS))
        for _ in state.scan("item"):
            pass
        state.commit(2, {"item": dict.fromkeys(ROWS, b"2")})
    finally:
        state.close()


@pytest.mark.parametrize("damage", [garbage, garbage_pages, truncated, another_file, text_as_position])
def test_a_damaged_state_file_is_named_with_the_fix(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "state-0of1.db"
    state = SqliteState(path)
    state.commit(1, {"item": ROWS})
    state.close()
    damage(path)
    with pytest.raises(Unavailable, match=DAMAGED):
        use_all(path)
    for file in tmp_path.glob("state-0of1.db*"):
        file.unlink()
    state = SqliteState(path)
    assert (state.position(), state.get("item", ["comment:1"])) == (0, {})
    state.close()


def test_an_old_file_beside_a_newer_log_is_damaged(tmp_path: Path) -> None:
    path, old = tmp_path / "state-0of1.db", tmp_path / "old"
    state = SqliteState(path)
    state.commit(1, {"account": {"a": b"1"}})
    state.close()
    shutil.copy(path, old)
    state = SqliteState(path)
    state.commit(2, {"item": ROWS})
    state.close()
    state = SqliteState(path)
    # These change the root of the table, which names pages that the old file doesn't have.
    state.commit(3, {"item": {f"track:{i}": b"x" * 400 for i in range(1_000)}, "text": {"t": b"1"}})
    log = path.with_name(f"{path.name}-wal").read_bytes()
    state.close()
    shutil.copy(old, path)
    path.with_name(f"{path.name}-wal").write_bytes(log)
    with pytest.raises(Unavailable, match=DAMAGED):
        use_all(path)


def test_a_file_that_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state-0of1.db"
    path.mkdir()
    with pytest.raises(Unavailable, match=r"Can't use .*permissions and free space"):
        SqliteState(path)


def test_a_file_that_another_process_locks_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state-0of1.db"
    state = SqliteState(path)
    state._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"Can't use .*locked"):
        state.commit(1, {"item": ROWS})
    other.close()
    state.close()

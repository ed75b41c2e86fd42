"""Log files are rotated by whoever writes them, and no line is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.observe.log_files import LogFile

DAY = 86_400.0
START = 1_800_000_000.0 // DAY * DAY


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(path: Path, clock: Clock, max_bytes: int = 1_000, keep: int = 3) -> LogFile:
    return LogFile(path, max_bytes=max_bytes, keep=keep, redirected=(), timer=clock)


def lines(folder: Path) -> list[str]:
    return sorted(line for path in folder.glob("api.log*") for line in path.read_text().splitlines())


def test_two_processes_rotate_one_file_and_lose_nothing(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "logs" / "api.log"
    files = [opened(path, clock, keep=100) for _ in range(2)]
    for n in range(400):
        files[n % 2].write(f"line {n:04} {'x' * 20}\n")
        clock.now += 0.3
        os.utime(path, (clock.now, clock.now))
    assert lines(path.parent) == [f"line {n:04} {'x' * 20}" for n in range(400)]
    rotated = list(path.parent.glob("api.log.*"))
    assert len(rotated) >= 8
    assert all(one.stat().st_size < 1_400 for one in (*rotated, path))
    assert path.stat().st_mode & 0o077 == 0


def test_the_total_is_bounded(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "api.log"
    file = opened(path, clock)
    for n in range(1_000):
        file.write(f"line {n:04} {'x' * 90}\n")
        clock.now += 1.0
        os.utime(path, (clock.now, clock.now))
    assert len(list(tmp_path.glob("api.log.*"))) == 3
    assert sum(one.stat().st_size for one in tmp_path.glob("api.log*")) < 4 * 1_200
    assert "line 0999" in path.read_text()


def test_a_new_day_begins_a_new_file(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "api.log"
    files = [opened(path, clock), opened(path, clock)]
    for file in files:
        file.write("yesterday\n")
        os.utime(path, (clock.now, clock.now))
    clock.now += DAY
    for file in files:
        file.write("today\n")
        os.utime(path, (clock.now, clock.now))
    (rotated,) = tmp_path.glob("api.log.*")
    assert rotated.read_text() == "yesterday\nyesterday\n"
    assert path.read_text() == "today\ntoday\n"


def test_a_file_that_logrotate_moved_is_followed(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "api.log"
    file = opened(path, clock, max_bytes=0)
    file.write("first\n")
    path.rename(tmp_path / "api.log-20260101")
    clock.now += 2
    file.write("second\n")
    assert path.read_text() == "second\n"


def test_a_file_that_logrotate_copied_and_truncated_goes_on_at_its_beginning(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "api.log"
    file = opened(path, clock, max_bytes=0)
    file.write("first\n")
    os.truncate(path, 0)
    file.write("second\n")
    assert path.read_bytes() == b"second\n"


def test_what_libraries_print_is_rotated_with_the_log(tmp_path: Path) -> None:
    """Also what a crash prints: it goes to the same file, wherever the process was started."""
    program = """
import os, sys, time
from pathlib import Path
from serving.observe.log_files import LogFile
now = [time.time()]
path = Path(sys.argv[1])
file = LogFile(path, max_bytes=100, keep=3, timer=lambda: now[0])
print("printed first", flush=True)
file.write("x" * 200 + "\\n")
now[0] += 2
file.write("after\\n")
print("printed after", flush=True)
os.write(2, b"a crash\\n")
"""
    path = tmp_path / "api.log"
    with path.open("ab") as out:
        subprocess.run([sys.executable, "-c", program, str(path)], stdout=out, stderr=out, check=True)
    (rotated,) = tmp_path.glob("api.log.*")
    assert rotated.read_text() == "printed first\n" + "x" * 200 + "\n"
    assert path.read_text() == "after\nprinted after\na crash\n"

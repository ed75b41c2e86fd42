"""Instances of a home have folders of their own, and dead ones leave none behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.instance.folder import About, InstanceFolder, Progress, Request, instance_folder, instances


@pytest.fixture
def hangups() -> Iterator[threading.Event]:
    """Set on SIGHUP."""
    got = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda *_: got.set())
    yield got
    signal.signal(signal.SIGHUP, before)


def test_each_instance_has_a_folder_of_its_own(tmp_path: Path) -> None:
    with instance_folder(tmp_path) as first:
        (first.metrics / "counter_1.db").touch()
        with instance_folder(tmp_path) as second:
            assert first.path != second.path
            assert [one.path for one in instances(tmp_path)] == [first.path, second.path]
            # The second one's start didn't touch it.
            assert (first.metrics / "counter_1.db").exists()
        assert [one.path for one in instances(tmp_path)] == [first.path]
        assert not second.path.exists()
    assert instances(tmp_path) == []


def test_the_folder_of_a_dead_instance_is_deleted(tmp_path: Path) -> None:
    dead = tmp_path / "instances" / "elsewhere-1"
    (dead / "metrics").mkdir(parents=True)
    (dead / "lock").touch()
    (dead / "metrics" / "counter_1.db").touch()
    assert instances(tmp_path) == []
    with instance_folder(tmp_path):
        assert not dead.exists()


def test_an_instance_says_which_process_it_is_while_it_runs(tmp_path: Path) -> None:
    about = About(os.getpid(), "http://127.0.0.1:3000")
    with instance_folder(tmp_path) as mine:
        (seen,) = instances(tmp_path)
        assert seen.about is None
        mine.describe(about)
        assert seen.about == about
    assert seen.about is None


def test_a_request_reaches_the_instance_with_a_signal(tmp_path: Path, hangups: threading.Event) -> None:
    with instance_folder(tmp_path) as mine:
        (seen,) = instances(tmp_path)
        seen.ask(Request("r1", environment_of=7), os.getpid())
        assert hangups.wait(30)
        assert mine.take_request() == Request("r1", environment_of=7)
        # Somebody else only sends the signal.
        assert mine.take_request() == Request("signal")
        mine.report(Progress("r1", ("a", "b")))
        assert seen.progress() == Progress("r1", ("a", "b"))
        mine.finish("r1")
        assert seen.progress() == Progress("r1", ("a", "b"), ended=True)
    assert seen.progress() is None


def test_a_folder_is_kept_when_its_process_runs_another_program(tmp_path: Path) -> None:
    with instance_folder(tmp_path) as mine:
        assert mine.lock is not None
        kept = InstanceFolder(mine.path, os.dup(mine.lock))
        os.close(mine.lock)
        mine.lock = None
        with instance_folder(tmp_path, kept) as same:
            assert same.path == mine.path
            assert same.runs
    assert instances(tmp_path) == []

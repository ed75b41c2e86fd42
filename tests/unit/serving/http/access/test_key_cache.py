"""Which keys a process accepts from memory, and when it asks the database."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import keys
from leads.db.access.rotation import rotate
from leads.errors import NotAuthenticated, Unavailable
from serving.http.access import key_cache
from serving.http.access.key_cache import OUTAGE_S, KeyCache


class Timer:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def wrong_secret(text: str) -> str:
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def test_keys_in_memory_are_checked_without_the_database(any_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (keys.create(any_engine, name, ["score"], harms=["spam"]) for name in "ab")
    cache = KeyCache(any_engine, timer=Timer())
    assert cache.outdated
    cache.refresh()
    assert not cache.outdated
    monkeypatch.setattr(key_cache, "read_valid", None)
    for made in (one, other):
        assert cache.recall(made.text) == cache.look_up(made.text) == made.key
        for check in (cache.recall, cache.look_up):
            with pytest.raises(NotAuthenticated):
                check(wrong_secret(made.text))


@pytest.mark.parametrize("text", ["", "x", "ls_", "ls__", "ls_\x00_é", f"ls_{'0' * 12}_", f"ls_{'0' * 12}_{'x' * 44}"])
def test_malformed_keys_need_no_look_up(engine: Engine, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    cache = KeyCache(engine)
    monkeypatch.setattr(key_cache, "read_valid", None)
    for check in (cache.recall, cache.look_up):
        with pytest.raises(NotAuthenticated):
            check(text)


def test_a_revoked_key_is_refused_within_five_seconds(any_engine: Engine) -> None:
    timer = Timer()
    cache = KeyCache(any_engine, timer=timer)
    made = keys.create(any_engine, "x", ["score"])
    cache.refresh()
    keys.revoke(any_engine, made.key.id)
    timer.now += keys.CACHE_S - 0.1
    assert not cache.outdated
    assert cache.recall(made.text) == made.key
    timer.now += 0.1
    assert cache.outdated
    cache.refresh()
    assert cache.recall(made.text) is None
    with pytest.raises(NotAuthenticated):
        cache.look_up(made.text)
    assert keys.CACHE_S <= 5


def test_a_new_key_is_looked_up_and_an_unknown_one_only_once(
    any_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer, asked = Timer(), 0
    cache = KeyCache(any_engine, timer=timer)
    cache.refresh()
    made, unknown = keys.create(any_engine, "x", ["score"]), f"ls_{'0' * 12}_{'x' * 43}"
    real = key_cache.read_valid

    def counted(engine: Engine, id_: str | None = None) -> dict[str, keys.StoredKey]:
        nonlocal asked
        asked += 1
        return real(engine, id_)

    monkeypatch.setattr(key_cache, "read_valid", counted)
    assert cache.recall(made.text) is None
    with pytest.raises(NotAuthenticated):
        cache.look_up(wrong_secret(made.text))
    assert cache.look_up(made.text) == made.key == cache.recall(made.text)
    assert cache.recall(unknown) is None
    for check in (cache.look_up, cache.look_up, cache.recall):
        with pytest.raises(NotAuthenticated):
            check(unknown)
    assert asked == 2
    timer.now += keys.CACHE_S
    cache.refresh()
    # It may have been created since.
    assert cache.recall(unknown) is None
    assert cache.recall(made.text) == made.key


def test_keys_work_for_a_minute_without_the_database(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    timer, asked = Timer(), 0
    cache = KeyCache(engine, timer=timer)
    used, unused = keys.create(engine, "x", ["score"]), keys.create(engine, "y", ["score"])
    cache.refresh()

    def down(*_: object) -> dict[str, keys.StoredKey]:
        nonlocal asked
        asked += 1
        raise Unavailable("The database doesn't answer.")

    monkeypatch.setattr(key_cache, "read_valid", down)
    timer.now += 10
    for _ in range(3):
        if cache.outdated:
            cache.refresh()
        assert (cache.recall(used.text), cache.recall(unused.text)) == (used.key, unused.key)
    assert asked == 1
    timer.now = 100 + OUTAGE_S
    for _ in range(3):
        with pytest.raises(Unavailable):
            cache.refresh()
    # Not every request waits for the database to fail.
    assert asked == 2
    timer.now += 1
    monkeypatch.undo()
    cache.refresh()
    assert cache.recall(used.text) == used.key


def test_only_one_request_waits_while_the_keys_are_read(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    timer = Timer()
    cache = KeyCache(engine, timer=timer)
    made = keys.create(engine, "x", ["score"])
    cache.refresh()
    timer.now += keys.CACHE_S
    reads, go_on, real = threading.Event(), threading.Event(), key_cache.read_valid

    def slow(engine: Engine, id_: str | None = None) -> dict[str, keys.StoredKey]:
        reads.set()
        assert go_on.wait(30)
        return real(engine, id_)

    monkeypatch.setattr(key_cache, "read_valid", slow)
    thread = threading.Thread(target=cache.refresh)
    thread.start()
    try:
        assert reads.wait(30)
        assert not cache.outdated
        assert cache.recall(made.text) == made.key
    finally:
        go_on.set()
        thread.join()
    assert not cache.outdated


class TwoProcesses:
    """The caches of two processes, each with a clock of its own."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.now = 0
        self.timers = Timer(), Timer()
        self.caches = [KeyCache(engine, timer=timer, clock_=lambda: self.now) for timer in self.timers]

    def accept(self, text: str) -> list[bool]:
        """Which of the processes accept this key, each as a request finds it."""
        return [self._accepts(cache, text) for cache in self.caches]

    def _accepts(self, cache: KeyCache, text: str) -> bool:
        try:
            if cache.outdated:
                cache.refresh()
            return bool(cache.recall(text) or cache.look_up(text))
        except NotAuthenticated:
            return False

    def wait(self, seconds: float) -> None:
        self.now += int(seconds * clock.SECOND)
        for timer in self.timers:
            timer.now += seconds


@pytest.fixture
def processes(any_engine: Engine) -> TwoProcesses:
    return TwoProcesses(any_engine)


def test_every_process_refuses_a_revoked_key_within_five_seconds(processes: TwoProcesses) -> None:
    used, looked_up = (keys.create(processes.engine, name, ["score"]) for name in "ab")
    assert processes.accept(used.text) == [True, True]
    # The second process meets the other key only now, between two reads of all keys.
    processes.wait(keys.CACHE_S - 0.5)
    late = keys.create(processes.engine, "c", ["score"])
    assert processes.accept(late.text) == [True, True]
    for made in (used, looked_up, late):
        keys.revoke(processes.engine, made.key.id)
    processes.wait(keys.CACHE_S)
    for made in (used, looked_up, late):
        assert processes.accept(made.text) == [False, False]


def test_an_expired_key_is_refused_at_that_moment_and_only_its_owner_learns_why(processes: TwoProcesses) -> None:
    made = keys.create(processes.engine, "x", ["score"], expires_at=3 * clock.SECOND, clock_=lambda: 0)
    assert processes.accept(made.text) == [True, True]
    processes.wait(2.9)
    assert processes.accept(made.text) == [True, True]
    processes.wait(0.1)
    assert processes.accept(made.text) == [False, False]
    expected = (
        f"This API key expired at 1970-01-01T00:00:03Z. To renew it, an operator runs: leads keys rotate {made.key.id}"
    )
    invalid = f"ls_{'0' * 12}_{'x' * 43}"
    for cache in (*processes.caches, KeyCache(processes.engine, clock_=lambda: processes.now)):
        with pytest.raises(NotAuthenticated) as refused:
            cache.look_up(made.text)
        assert str(refused.value) == expected
        errors = set()
        for text in (wrong_secret(made.text), invalid):
            with pytest.raises(NotAuthenticated) as unknown:
                cache.look_up(text)
            errors.add(str(unknown.value))
        assert len(errors) == 1
        assert "expired" not in errors.pop()


def test_a_rotated_key_works_at_once_and_the_old_one_until_the_overlap_ends(processes: TwoProcesses) -> None:
    old = keys.create(processes.engine, "x", ["score"], clock_=lambda: 0)
    assert processes.accept(old.text) == [True, True]
    new, ending = rotate(processes.engine, "x", overlap=clock.HOUR, clock_=lambda: processes.now)
    assert processes.accept(new.text) == processes.accept(old.text) == [True, True]
    processes.wait(3_599)
    assert processes.accept(old.text) == [True, True]
    processes.wait(1)
    assert processes.accept(old.text) == [False, False]
    assert processes.accept(new.text) == [True, True]
    with pytest.raises(NotAuthenticated, match=r"was replaced, and ended at 1970-01-01T01:00:00Z\. Use the key") as why:
        processes.caches[0].look_up(old.text)
    assert new.key.id in str(why.value)
    assert ending.expires_at == clock.HOUR


def test_a_key_that_is_rotated_without_overlap_ends_within_five_seconds(processes: TwoProcesses) -> None:
    old = keys.create(processes.engine, "x", ["score"])
    assert processes.accept(old.text) == [True, True]
    new, _ = rotate(processes.engine, "x", overlap=0, clock_=lambda: processes.now)
    processes.wait(keys.CACHE_S)
    assert processes.accept(old.text) == [False, False]
    assert processes.accept(new.text) == [True, True]

"""The guarded reader over a Redis that fails in every way: no response is late or wrong, and it recovers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from features.declared.builtin import ACCOUNT, ITEM
from features.links import Links
from features.online.reader import Fetched, OnlineReader, open_reader
from leads.breaker import IN_A_ROW, MAX_S, Breaker
from leads.errors import Unavailable
from leads.events import Subject
from leads.settings import load_settings
from serving.scoring.store_guard import GuardedReader
from tests.support.features.fake_redis import GARBAGE, WRONG_TYPES, FakeRedis, Mode, cells_of, fake_redis

C1 = Subject("comment", "c1")


class Timer:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["tcp", "unix"])
def server(request: pytest.FixtureRequest) -> Iterator[FakeRedis]:
    # A socket's path may be no longer than about a hundred characters.
    with (
        tempfile.TemporaryDirectory() as short,
        fake_redis(Path(short) / "redis" if request.param == "unix" else None) as made,
    ):
        made.store(ITEM, C1.key, cells_of(ITEM, c0=1.0), ["a1"])
        made.store(ACCOUNT, "a1", cells_of(ACCOUNT, c0=2.0))
        yield made


@pytest.fixture
def reader(server: FakeRedis, tmp_path: Path) -> OnlineReader:
    settings = load_settings(home=tmp_path, corpora="", online_store="redis", redis_url=server.address)
    return open_reader(settings)


def check(fetched: Fetched) -> None:
    assert fetched.links[0].account_id == "a1"
    assert (fetched.packed["item"][0, 0], fetched.packed["account"][0, 0]) == (1.0, 2.0)


@pytest.mark.parametrize("mode", ["refuse", "hang", "slow", "dribble", "error", "cut"])
def test_a_failing_store_is_unavailable_then_left_alone_then_used_again(
    server: FakeRedis, reader: OnlineReader, mode: Mode
) -> None:
    timer = Timer()
    breaker = Breaker("The store", remedy="", timer=timer)
    guard = GuardedReader(reader, timeout_s=30, breaker=breaker)
    check(guard.fetch([C1]))
    server.mode = mode
    guard._timeout_s = 0.2
    for _ in range(10):
        with pytest.raises(Unavailable):
            guard.fetch([C1])
    assert (guard.open, guard.errors + guard.timeouts) == (True, IN_A_ROW)
    assert guard.short_circuited == 10 - IN_A_ROW
    server.mode = "ok"
    guard._timeout_s = 30.0
    timer.now += MAX_S
    check(guard.fetch([C1]))
    assert not guard.open
    guard.close()


@pytest.mark.parametrize(
    ("mode", "reply"), [*(("garbage", reply) for reply in GARBAGE), *(("wrong_type", reply) for reply in WRONG_TYPES)]
)
def test_garbage_gives_no_feature_and_no_other_error(
    server: FakeRedis, reader: OnlineReader, mode: Mode, reply: bytes
) -> None:
    guard = GuardedReader(reader, timeout_s=2.0)
    server.mode, server.reply = mode, reply
    try:
        fetched = guard.fetch([C1])
    except Unavailable:
        pass
    else:
        assert all(np.isnan(packed).all() for packed in fetched.packed.values())
        assert not fetched.row_at.any()
        assert fetched.links == [Links()]
    server.mode = "ok"
    guard._timeout_s = 30.0
    check(guard.fetch([C1]))
    guard.close()

from __future__ import annotations

import pytest

from leads.db.keys import ApiKey
from leads.errors import TooManyRequests
from serving.http import rate_limits
from serving.http.rate_limits import UNIT_BYTES, UNKNOWN_PER_S, RateLimits


class Timer:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def key(id_: str = "a", rate: float | None = None) -> ApiKey:
    return ApiKey(id_, id_, frozenset({"score"}), None, 0, None, rate)


def admitted(limits: RateLimits, who: ApiKey, tries: int) -> int:
    n = 0
    for _ in range(tries):
        try:
            limits.take(who)
            n += 1
        except TooManyRequests:
            continue
    return n


def test_a_burst_of_two_seconds_then_the_rate() -> None:
    timer = Timer()
    limits = RateLimits(10.0, timer=timer)
    assert admitted(limits, key(), 50) == 20
    timer.now += 1.0
    assert admitted(limits, key(), 50) == 10
    timer.now += 3_600
    assert admitted(limits, key(), 50) == 20


def test_keys_have_separate_limits() -> None:
    limits = RateLimits(10.0, timer=Timer())
    assert admitted(limits, key("a"), 50) == 20
    assert admitted(limits, key("b"), 50) == 20


def test_a_key_may_have_its_own_rate_or_no_limit() -> None:
    limits = RateLimits(10.0, timer=Timer())
    assert admitted(limits, key("slow", 2.0), 50) == 4
    assert admitted(limits, key("free", 0.0), 500) == 500
    assert admitted(RateLimits(0.0, timer=Timer()), key(), 500) == 500
    assert admitted(RateLimits(0.0, timer=Timer()), key("slow", 2.0), 50) == 4


def test_a_changed_rate_applies_immediately() -> None:
    timer = Timer()
    limits = RateLimits(10.0, timer=timer)
    assert admitted(limits, key(rate=1.0), 50) == 2
    assert admitted(limits, key(rate=5.0), 50) == 10


def test_the_processes_of_an_instance_share_the_limit() -> None:
    share = [RateLimits(10.0, share=0.25, timer=Timer()) for _ in range(4)]
    assert sum(admitted(one, key(), 50) for one in share) == 20
    # A rate so small that a process's share is less than one request is still a rate.
    timer = Timer()
    slow = RateLimits(0.4, share=0.25, timer=timer)
    assert admitted(slow, key(), 5) == 1
    timer.now += 9.9
    assert admitted(slow, key(), 5) == 0
    timer.now += 0.2
    assert admitted(slow, key(), 5) == 1


def test_the_error_says_when_to_retry() -> None:
    timer = Timer()
    limits = RateLimits(0.5, timer=timer)
    limits.take(key())
    with pytest.raises(TooManyRequests) as refused:
        limits.take(key())
    assert refused.value.retry_after_s == 2
    timer.now += refused.value.retry_after_s
    limits.take(key())


def test_a_large_body_overdraws_the_bucket() -> None:
    timer = Timer()
    limits = RateLimits(10.0, timer=timer)
    limits.take(key())
    limits.charge(key(), UNIT_BYTES)
    limits.take(key())
    limits.charge(key(), 30 * UNIT_BYTES)
    with pytest.raises(TooManyRequests) as refused:
        limits.take(key())
    # 20 - 2 requests - 29 further units = 11 short of nothing, 12 short of one.
    assert refused.value.retry_after_s == 2
    timer.now += 1.2
    limits.take(key())


def test_a_body_of_an_unlimited_key_costs_nothing() -> None:
    limits = RateLimits(0.0, timer=Timer())
    limits.take(key())
    limits.charge(key(), 10**9)
    limits.take(key())


def test_the_number_of_buckets_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "_MAX_BUCKETS", 3)
    limits = RateLimits(0.5, timer=Timer())
    for name in "abcd":
        limits.take(key(name))
    assert len(limits._buckets) == 3
    for name in "bcd":
        with pytest.raises(TooManyRequests):
            limits.take(key(name))


def test_unknown_keys_share_one_limit() -> None:
    timer = Timer()
    limits = RateLimits(10.0, timer=timer)
    for _ in range(int(2 * UNKNOWN_PER_S)):
        limits.take_unknown()
    with pytest.raises(TooManyRequests):
        limits.take_unknown()
    limits.take(key())
    timer.now += 1.0
    limits.take_unknown()


def test_stored_text_counts_like_a_body() -> None:
    timer = Timer()
    limits = RateLimits(10.0, timer=timer)
    limits.take(key())
    limits.charge(key(), 1_000)
    # Body and stored text together are charged, not each of them up to the next unit.
    limits.charge(key(), UNIT_BYTES - 1_000, after=1_000)
    limits.charge(key(), 10 * UNIT_BYTES, after=UNIT_BYTES)
    assert admitted(limits, key(), 50) == 20 - 1 - 10


def test_much_stored_text_is_refused_once_other_requests_have_overdrawn_the_bucket() -> None:
    timer = Timer()
    limits = RateLimits(10.0, timer=timer)
    limits.take(key())
    limits.take(key())
    limits.charge_before(key(), 100 * UNIT_BYTES, after=100)
    with pytest.raises(TooManyRequests) as refused:
        limits.charge_before(key(), 100 * UNIT_BYTES, after=100)
    timer.now += refused.value.retry_after_s
    # The refused request was not charged for the text.
    limits.take(key())
    limits.charge_before(key(), 0, after=100)


def test_a_low_rate_is_no_reason_to_refuse_much_stored_text() -> None:
    limits = RateLimits(1.0, timer=Timer())
    limits.take(key())
    limits.charge(key(), 50 * UNIT_BYTES)
    limits.charge_before(key(), 1_000 * UNIT_BYTES, after=50 * UNIT_BYTES)

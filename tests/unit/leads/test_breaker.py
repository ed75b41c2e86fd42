"""The breaker opens, cools down, probes and closes. Its guarantees hold for any order of calls and results."""

from __future__ import annotations

import logging

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule

from leads.breaker import FAILED_OF_WINDOW, FIRST_S, IN_A_ROW, MAX_S, WINDOW, Breaker
from leads.errors import Unavailable


class Timer:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timer() -> Timer:
    return Timer()


@pytest.fixture
def breaker(timer: Timer) -> Breaker:
    return Breaker("The store", remedy="Check that it is running.", timer=timer, chance=lambda: 0.0)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failed(breaker.enter())


def refused(breaker: Breaker) -> Unavailable:
    with pytest.raises(Unavailable) as error:
        breaker.enter()
    return error.value


def test_opens_after_consecutive_failures(breaker: Breaker) -> None:
    fail(breaker, IN_A_ROW - 1)
    breaker.succeeded(breaker.enter())
    fail(breaker, IN_A_ROW - 1)
    assert not breaker.open
    fail(breaker)
    assert breaker.open
    assert str(refused(breaker)) == "The store failed recently; calls to it are paused. Check that it is running."
    assert breaker.short_circuited == 1


def test_opens_when_half_of_the_recent_calls_failed(breaker: Breaker) -> None:
    for _ in range(FAILED_OF_WINDOW - 1):
        fail(breaker)
        breaker.succeeded(breaker.enter())
    assert not breaker.open
    fail(breaker)
    assert breaker.open


def test_old_failures_expire(breaker: Breaker) -> None:
    for _ in range(FAILED_OF_WINDOW - 1):
        fail(breaker)
        breaker.succeeded(breaker.enter())
    for _ in range(WINDOW):
        breaker.succeeded(breaker.enter())
    fail(breaker, IN_A_ROW - 1)
    assert not breaker.open


def test_allows_one_probe_after_the_cool_down(breaker: Breaker, timer: Timer) -> None:
    fail(breaker, IN_A_ROW)
    timer.now += FIRST_S - 0.01
    refused(breaker)
    timer.now += 0.01
    probe = breaker.enter()
    refused(breaker)
    breaker.succeeded(probe)
    assert not breaker.open
    assert breaker.enter() == breaker.enter()


def test_the_cool_down_doubles_up_to_a_limit_and_resets_on_success(breaker: Breaker, timer: Timer) -> None:
    fail(breaker, IN_A_ROW)
    for wait in (0.5, 1.0, 2.0, 4.0, 8.0, MAX_S, MAX_S):
        timer.now += wait - 0.001
        refused(breaker)
        timer.now += 0.001
        fail(breaker)
    timer.now += MAX_S
    breaker.succeeded(breaker.enter())
    fail(breaker, IN_A_ROW)
    timer.now += FIRST_S
    breaker.enter()


def test_the_cool_down_has_jitter(timer: Timer) -> None:
    breaker = Breaker("The store", remedy="", timer=timer, chance=lambda: 1.0)
    fail(breaker, IN_A_ROW)
    timer.now += FIRST_S * 0.75
    breaker.enter()


def test_results_of_calls_before_it_opened_are_ignored(breaker: Breaker, timer: Timer) -> None:
    early = [breaker.enter() for _ in range(10)]
    fail(breaker, IN_A_ROW)
    breaker.succeeded(early[0])
    breaker.failed(early[1])
    assert breaker.open
    timer.now += FIRST_S
    probe = breaker.enter()
    breaker.succeeded(early[2])
    breaker.failed(early[3])
    refused(breaker)
    breaker.succeeded(probe)
    for ticket in (*early, probe):
        breaker.failed(ticket)
    assert not breaker.open


def test_opening_and_closing_are_logged_once(breaker: Breaker, timer: Timer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fail(breaker, IN_A_ROW - 1)
    breaker.failed(breaker.enter(), "connection refused")
    refused(breaker)
    timer.now += FIRST_S
    fail(breaker)
    timer.now += MAX_S
    breaker.succeeded(breaker.enter())
    breaker.succeeded(breaker.enter())
    assert [record.getMessage() for record in caplog.records] == [
        "The store is not responding; calls to it are paused: connection refused",
        "The store is responding again",
    ]


class AnyOrder(RuleBasedStateMachine):
    """Calls begin and end in any order, and time passes at random."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.timer = Timer()
        self.breaker = Breaker("The store", remedy="", timer=self.timer, chance=lambda: 0.5)
        self.shut_at = 0.0
        self.probing = False

    @rule(target=calls)
    def begin(self) -> tuple[int, bool] | None:
        was_open, before = self.breaker.open, self.breaker.short_circuited
        try:
            ticket = self.breaker.enter()
        except Unavailable:
            assert was_open
            assert self.breaker.short_circuited == before + 1
            return None
        if was_open:
            assert not self.probing
            assert self.timer.now >= self.shut_at + FIRST_S * 0.75
            self.probing = True
        return ticket, was_open

    @rule(call=consumes(calls), answered=st.booleans())
    def end(self, call: tuple[int, bool] | None, answered: bool) -> None:
        if call is None:
            return
        (ticket, is_probe), was_open = call, self.breaker.open
        (self.breaker.succeeded if answered else self.breaker.failed)(ticket)
        if is_probe:
            assert self.breaker.open is not answered
            self.probing = False
        elif was_open:
            assert self.breaker.open
        if self.breaker.open and (is_probe or not was_open):
            self.shut_at = self.timer.now

    @rule(seconds=st.sampled_from((0.1, 0.5, 3.0, 12.0)))
    def wait(self, seconds: float) -> None:
        self.timer.now += seconds

    def teardown(self) -> None:
        """It never stays open forever."""
        self.timer.now += MAX_S
        if not self.probing:
            self.breaker.enter()


AnyOrder.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
test_any_order = AnyOrder.TestCase

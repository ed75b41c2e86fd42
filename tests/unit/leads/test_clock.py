"""Times as integers and as text."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads import clock

instants = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)


@given(instants)
def test_text_and_datetime_are_exact_to_the_microsecond(at: int) -> None:
    assert clock.from_text(clock.to_text(at)) == at
    assert clock.from_datetime(clock.to_datetime(at)) == at


@given(instants)
def test_text_is_utc(at: int) -> None:
    assert clock.to_text(at).endswith("Z")
    assert clock.to_datetime(at).tzinfo is UTC


def test_an_offset_is_applied() -> None:
    assert clock.from_text("2026-01-31T12:00:00+02:00") == clock.from_text("2026-01-31T10:00:00Z")


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2026-01-31", "2026-01-31T12:00:00", "2026-02-30T00:00:00Z",
        # Other forms of ISO 8601, which aren't RFC 3339.
        "2026-W48-4T22:00:00Z", "2026W484T220000Z", "20260131T120000Z", "2026-01-31T12:00Z", "2026-01-31T12Z",
        "2026-01-31T12:00:00,5Z", "2026-01-31T12:00:00+0200", "2026-01-31T12:00:00+02", "2026-01-31T12:00:00+02:00:01",
        "2026-01-31x12:00:00Z", "2026-01-31T12:00:00Z\n", "\uff12026-01-31T12:00:00Z", "2026-01-31T12:00:00.Z",
    ],
)  # fmt: skip
def test_an_invalid_time_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        clock.from_text(text)


@pytest.mark.parametrize("text", ["2026-01-31t12:00:00z", "2026-01-31 12:00:00.0000009Z", "2026-01-31T12:00:00-00:00"])
def test_every_form_of_rfc_3339_is_read(text: str) -> None:
    assert clock.to_text(clock.from_text(text)) == "2026-01-31T12:00:00Z"


def test_a_naive_datetime_is_rejected() -> None:
    with pytest.raises(ValueError, match="UTC offset"):
        clock.from_datetime(datetime(2026, 1, 31))  # noqa: DTZ001


def test_now_is_in_microseconds() -> None:
    before = time.time_ns() // 1_000
    assert before <= clock.now() <= time.time_ns() // 1_000


def test_a_set_clock_runs_from_its_anchor_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    anchor = clock.to_text(time.time_ns() // 1_000)
    monkeypatch.setenv(clock.SETTING, f"2025-01-10T00:00:00Z@60@{anchor}")
    start = clock.from_text("2025-01-10T00:00:00Z")
    before = clock.now()
    program = "from leads import clock; print(clock.now())"
    there = int(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=os.environ).stdout)
    assert start <= before < there < clock.now()
    passed = time.time_ns() // 1_000 - clock.from_text(anchor)
    assert clock.now() - start == pytest.approx(60 * passed, rel=0.1)


def test_a_clock_without_a_speed_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(clock.SETTING, "2025-01-10T00:00:00Z")
    assert clock.now() == clock.now() == clock.from_text("2025-01-10T00:00:00Z")
    # Nothing would end if waits stood still, too.
    assert clock.wait_s(5) == 5


def test_waits_are_shorter_by_the_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock.wait_s(600) == 600
    monkeypatch.setenv(clock.SETTING, "2025-01-10T00:00:00Z@60@2026-01-01T00:00:00Z")
    assert clock.wait_s(600) == 10
    assert clock.seconds_since(clock.now() - clock.MINUTE) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_variable_sets_no_clock(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(clock.SETTING, text)
    assert clock.set_clock() is None


@pytest.mark.parametrize(
    "text",
    [
        "now", "2025-01-10", "2025-01-10T00:00:00Z@60", "2025-01-10T00:00:00Z@fast@2026-01-01T00:00:00Z",
        "2025-01-10T00:00:00Z@0@2026-01-01T00:00:00Z", "2025-01-10T00:00:00Z@-1@2026-01-01T00:00:00Z",
        "2025-01-10T00:00:00Z@inf@2026-01-01T00:00:00Z", "2025-01-10T00:00:00Z@nan@2026-01-01T00:00:00Z",
        "2025-01-10T00:00:00Z@20000@2026-01-01T00:00:00Z", "2025-01-10T00:00:00Z@1@yesterday",
        "2025-01-10T00:00:00Z@1@2026-01-01T00:00:00Z@1",
    ],
)  # fmt: skip
def test_an_invalid_clock_says_what_is_valid(text: str) -> None:
    with pytest.raises(ValueError, match=r"for example 2025-01-10T00:00:00Z|at most 10,000"):
        clock.parsed(text)

"""Times as integers and as text."""

from __future__ import annotations

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

"""When keys end: what operators may give, and which keys are counted as ending soon."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import keys
from leads.db.access.expiry import SOON, count_expiring, expiry_of
from leads.db.access.rotation import rotate
from leads.db.engine import reading
from leads.errors import InvalidInput

NOW, DAY = 1_000 * clock.DAY, clock.DAY


def test_a_key_ends_after_a_time_or_at_a_time() -> None:
    assert expiry_of(NOW) is None
    assert expiry_of(NOW, expires_in=90 * DAY) == NOW + 90 * DAY
    assert expiry_of(NOW, expires_at=NOW + DAY) == NOW + DAY
    assert expiry_of(NOW, expires_in=3_650 * DAY) == NOW + 3_650 * DAY


@pytest.mark.parametrize(
    ("given", "field", "text"),
    [
        ({"expires_in": 0}, "--expires-in", "would end at 1972-09-27T00:00:00Z. By this host's clock it is 1972-09-27"),
        ({"expires_in": 30 * clock.SECOND}, "--expires-in", "at least a minute from now"),
        ({"expires_at": NOW - DAY}, "--expires-at", "would end at 1972-09-26T00:00:00Z. By this host's clock"),
        ({"expires_in": 3_651 * DAY}, "--expires-in", "Give at most 3650d, or omit the option"),
        ({"expires_at": 2 * NOW + 3_650 * DAY}, "--expires-at", "at most 3650d"),
        ({"expires_in": DAY, "expires_at": NOW + DAY}, "--expires-in", "A key has one end."),
    ],
)
def test_other_ends_are_refused(given: dict[str, int], field: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        expiry_of(NOW, **given)
    assert refused.value.field == field
    assert text in str(refused.value)


def test_keys_that_end_soon_are_counted_until_they_are_rotated(any_engine: Engine) -> None:
    def count(now: int = NOW) -> int:
        with reading(any_engine) as connection:
            return count_expiring(connection, now)

    ends = {"a": NOW + DAY, "b": NOW + SOON, "c": NOW + SOON + 1, "d": None, "ended": NOW, "revoked": NOW + DAY}
    made = {name: keys.create(any_engine, name, ["score"], expires_at=end) for name, end in ends.items()}
    keys.revoke(any_engine, made["revoked"].key.id)
    assert count() == 2
    assert count(NOW + 1) == 3
    rotate(any_engine, "a", overlap=DAY, expires_at=NOW + 90 * DAY, clock_=lambda: NOW)
    assert count() == 1

"""Canary retreats, on both databases."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from leads.db import canary_retreats
from leads.db.canary_retreats import Retreat
from leads.db.engine import reading

SEEN = Retreat(5, "spam", "2", "3 of 4 calls failed", "here")


def test_the_first_retreat_is_in_force_until_it_is_cleared(any_engine: Engine) -> None:
    other = Retreat(6, "sexism", "2", "slow", "here")
    with any_engine.begin() as connection:
        for retreat in (SEEN, SEEN._replace(at=9, host="there"), other):
            canary_retreats.record(connection, retreat)
    with reading(any_engine) as connection:
        assert canary_retreats.standing(connection) == {("spam", "2"): SEEN, ("sexism", "2"): other}
    with any_engine.begin() as connection:
        assert canary_retreats.clear(connection, "spam", "2", 10)
        assert not canary_retreats.clear(connection, "spam", "2", 11)
        assert not canary_retreats.clear(connection, "spam", "1", 11)
    again = SEEN._replace(at=12, why="slow")
    with any_engine.begin() as connection:
        assert canary_retreats.standing(connection) == {("sexism", "2"): other}
        canary_retreats.record(connection, again)
    with reading(any_engine) as connection:
        assert canary_retreats.standing(connection) == {("spam", "2"): again, ("sexism", "2"): other}

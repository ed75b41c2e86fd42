"""When keys end: the times that operators may give, and which keys end soon."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads import clock
from leads.clock import Micros
from leads.db.tables import api_keys
from leads.errors import InvalidInput

# Keys that end within this time are pointed out.
SOON: Micros = 14 * clock.DAY
# A key that ends sooner was probably created with a time from another time zone or a wrong clock.
_SHORTEST: Micros = clock.MINUTE
_LONGEST: Micros = 3_650 * clock.DAY
_LONGEST_OVERLAP: Micros = 90 * clock.DAY


def expiry_of(now: Micros, *, expires_in: Micros | None = None, expires_at: Micros | None = None) -> Micros | None:
    """When a key ends that is given a lifetime or an end; None if neither is given.

    Raises:
        InvalidInput: both are given, or the key would end at once, in the past, or in more than ten years.
    """
    if expires_in is not None and expires_at is not None:
        raise InvalidInput("A key has one end.", field="--expires-in", remedy="Omit it, or --expires-at.")
    if expires_in is None and expires_at is None:
        return None
    field = "--expires-at" if expires_in is None else "--expires-in"
    end = now + expires_in if expires_in is not None else expires_at
    assert end is not None
    if end < now + _SHORTEST:
        raise InvalidInput(
            f"The key would end at {clock.to_text(end)}.",
            field=field,
            remedy=f"By this host's clock it is {clock.to_text(now)}: give a time at least a minute from now.",
        )
    if end > now + _LONGEST:
        remedy = "Give at most 3650d, or omit the option for a key that doesn't expire."
        raise InvalidInput("The key would end in more than ten years.", field=field, remedy=remedy)
    return end


def check_overlap(overlap: Micros) -> None:
    """Check for how long a rotated key keeps working.

    Raises:
        InvalidInput: negative, or more than 90 days.
    """
    if not 0 <= overlap <= _LONGEST_OVERLAP:
        raise InvalidInput(
            "The overlap isn't between 0 and 90 days.",
            field="--overlap",
            remedy="Give the time that callers need to switch to the new key, as in 24h. With 0, the old key ends now.",
        )


def count_expiring(connection: Connection, now: Micros) -> int:
    """How many keys end soon that weren't rotated yet."""
    query = sa.select(sa.func.count()).where(
        api_keys.c.revoked_at.is_(None),
        api_keys.c.replaced_by.is_(None),
        api_keys.c.expires_at > now,
        api_keys.c.expires_at <= now + SOON,
    )
    return int(connection.execute(query).scalar_one())

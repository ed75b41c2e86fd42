"""Rotating a key: a new one for the same caller, while the old one keeps working for a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads import clock
from leads.clock import Clock, Micros
from leads.db.access.expiry import check_overlap
from leads.db.engine import reading
from leads.db.keys import ApiKey, CreatedKey, insert_key, read_key
from leads.db.tables import api_keys
from leads.errors import Conflict, NotFound

_LIST = "List the keys with: leads keys list"


class Rotated(NamedTuple):
    """The new key, and the old one with the time at which it ends."""

    new: CreatedKey
    old: ApiKey


def rotate(
    engine: Engine, name: str, *, overlap: Micros, expires_at: Micros | None = None, clock_: Clock = clock.now
) -> Rotated:
    """Create a key that replaces another: same name, scopes, harms, rate, sender and reviewer.

    Requests with either key count as the same caller's: an event or an Idempotency-Key that was sent with the old key
    is known when it is sent again with the new one.

    Args:
        name: the key's name, or its id.
        overlap: how long the old key keeps working; never beyond its own end.
        expires_at: when the new key ends. Default: it lasts as long as the old one did.

    Raises:
        NotFound: no key has this name or id.
        Conflict: several keys have this name, or the key is revoked or was rotated before. By its name, a key isn't
            rotated again while the one before it still works, so that two people who rotate it don't get in each
            other's way.
        InvalidInput: an invalid overlap.
    """
    check_overlap(overlap)
    now = clock_()
    with engine.begin() as connection:
        old = _find(connection, name, now)
        end = now + overlap if old.expires_at is None else min(now + overlap, old.expires_at)
        if expires_at is None and old.expires_at is not None:
            expires_at = now + (old.expires_at - old.created_at)
        made = insert_key(
            connection,
            old._replace(created_at=now, expires_at=expires_at, last_used_at=None, family=old.family or old.id),
        )
        same = sa.update(api_keys).where(
            api_keys.c.id == old.id, api_keys.c.revoked_at.is_(None), api_keys.c.replaced_by.is_(None)
        )
        changed = same.values(replaced_by=made.key.id, expires_at=end).returning(api_keys.c.id)
        if connection.execute(changed).first() is None:
            raise Conflict(f"Key {old.id} was rotated or revoked at the same time by someone else.", remedy=_LIST)
    return Rotated(made, old._replace(replaced_by=made.key.id, expires_at=end))


def check_name_free(engine: Engine, name: str, *, clock_: Clock = clock.now) -> None:
    """Check that no working key has this name.

    Raises:
        Conflict: one has.
    """
    with reading(engine) as connection:
        taken = [key for key in _named(connection, name) if _is_current(key) and not key.expired(clock_())]
    if taken:
        raise Conflict(
            f"There is already a key with the name {name!r}: {taken[0].id}.",
            field="NAME",
            remedy=f"To replace it, run: leads keys rotate {taken[0].id}. For another caller, choose another name.",
        )


def ids_of(engine: Engine, name: str) -> list[str]:
    """The ids of the keys with this name, oldest first."""
    with reading(engine) as connection:
        return [key.id for key in _named(connection, name)]


def _find(connection: Connection, name: str, now: Micros) -> ApiKey:
    """The key to rotate. Raises NotFound and Conflict."""
    found = _named(connection, name)
    exact = [key for key in found if key.id == name]
    current = exact or [key for key in found if _is_current(key)]
    if not found:
        raise NotFound(f"No key has the name or id {name!r}.", field="NAME", remedy=_LIST)
    if len(current) > 1:
        ids = ", ".join(key.id for key in current)
        raise Conflict(f"{len(current)} keys have the name {name!r}.", field="NAME", remedy=f"Give an id: {ids}.")
    key = current[0] if current else found[-1]
    if key.revoked_at is not None:
        raise Conflict(
            f"Key {key.id} was revoked at {clock.to_text(key.revoked_at)}.",
            field="NAME",
            remedy=f"Create another one for the same caller with: leads keys create NAME --sender {key.sender}",
        )
    if key.replaced_by is not None:
        raise Conflict(
            f"Key {key.id} was rotated before; {key.replaced_by} replaced it.",
            field="NAME",
            remedy=f"Run: leads keys rotate {key.replaced_by}",
        )
    for old in found:
        if not exact and old.replaced_by == key.id and old.revoked_at is None and not old.expired(now):
            raise Conflict(
                f"Key {key.id} is replacing key {old.id} until {clock.to_text(old.expires_at or now)}.",
                field="NAME",
                remedy=f"To replace the new key, too, run: leads keys rotate {key.id}",
            )
    return key


def _is_current(key: ApiKey) -> bool:
    return key.revoked_at is None and key.replaced_by is None


def _named(connection: Connection, name: str) -> Sequence[ApiKey]:
    # PostgreSQL fails on a NUL character.
    if "\0" in name:
        return []
    query = sa.select(api_keys).where(sa.or_(api_keys.c.id == name, api_keys.c.name == name))
    ordered = query.order_by(api_keys.c.created_at, api_keys.c.id)
    return [read_key(row) for row in connection.execute(ordered)]

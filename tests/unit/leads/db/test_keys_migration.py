"""Revision 0012 lets existing keys work on, and the previous release on the new schema."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import keys
from leads.db.access.rotation import rotate
from leads.db.engine import migrate, unchecked_engine, upgrade
from leads.db.tables import api_keys
from leads.settings import Settings
from serving.http.access.key_cache import KeyCache

NEW_COLUMNS = ("expires_at", "last_used_at", "family", "replaced_by")
OLD_KEYS = sa.table("api_keys", *(sa.column(x.name, x.type) for x in api_keys.c if x.name not in NEW_COLUMNS))
SECRET = "x" * 43


@pytest.fixture
def bare(any_settings: Settings) -> Iterator[Engine]:
    engine = unchecked_engine(any_settings)
    upgrade(engine, "0011")
    yield engine
    engine.dispose()


def old_insert(engine: Engine, id_: str) -> str:
    """Create a key as the previous release does; returns its text."""
    row = {
        "id": id_, "name": "old", "secret_hash": keys.digest(SECRET), "scopes": ["score"], "harms": None,
        "created_at": 1, "revoked_at": None, "rate": None, "sender": None, "reviewer": None,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(sa.insert(OLD_KEYS), [row])
    return f"ls_{id_}_{SECRET}"


def test_keys_from_before_and_of_the_previous_release_work(any_settings: Settings, bare: Engine) -> None:
    before = old_insert(bare, "0" * 12)
    assert migrate(any_settings).before == "0011"
    beside = old_insert(bare, "1" * 12)
    for text in (before, beside):
        key = KeyCache(bare).look_up(text)
        assert (key.expires_at, key.last_used_at, key.replaced_by, key.caller) == (None, None, None, key.id)
    new, _ = rotate(bare, "1" * 12, overlap=clock.DAY)
    # The previous release finds both keys, and doesn't know that one of them ends.
    with bare.connect() as connection:
        found = connection.execute(sa.select(OLD_KEYS).where(OLD_KEYS.c.revoked_at.is_(None))).all()
    assert {row.id for row in found} == {"0" * 12, "1" * 12, new.key.id}
    assert {row.sender for row in found if row.id == new.key.id} == {"1" * 12}

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads.db import keys
from leads.db.keys import ApiKey
from leads.db.tables import api_keys
from leads.errors import AccessDenied, InvalidInput, NotAuthenticated, NotFound
from serving.http.access.key_cache import KeyCache


def verify(engine: Engine, text: str) -> ApiKey:
    """The key that servers find for `text` in the database."""
    return KeyCache(engine).look_up(text)


def test_a_created_key_can_be_verified(any_engine: Engine) -> None:
    made = keys.create(any_engine, "console", ["score", "leads:read"], harms=["spam"], clock_=lambda: 5)
    assert made.text.startswith(f"ls_{made.key.id}_")
    assert verify(any_engine, made.text) == made.key == keys.listing(any_engine)[0]
    assert made.key.harms == frozenset({"spam"})
    assert verify(any_engine, keys.create(any_engine, "all", ["score"]).text).harms is None


def test_only_a_hash_is_stored(any_engine: Engine) -> None:
    made = keys.create(any_engine, "console", ["score"])
    # It may have underscores itself.
    secret = made.text.split("_", 2)[2]
    with any_engine.connect() as connection:
        stored = connection.execute(sa.select(api_keys)).one()
    assert secret not in repr(tuple(stored))
    assert len(stored.secret_hash) == 32
    assert secret not in repr(made.key)


def test_all_invalid_keys_get_the_same_error(any_engine: Engine) -> None:
    made = keys.create(any_engine, "console", ["score"])
    gone = keys.create(any_engine, "gone", ["score"])
    keys.revoke(any_engine, gone.key.id)
    prefix, id_, secret = made.text.split("_", 2)
    wrong = [
        *("", "x", "ls_", "ls__", f"ls_{id_}_", "ls_\x00_é", gone.text, made.text.upper()),
        *(f"ls_{id_}_{secret}x", f"sl_{id_}_{secret}", f"ls_000000000000_{secret}"),
    ]
    messages = set()
    for text in wrong:
        with pytest.raises(NotAuthenticated) as refused:
            verify(any_engine, text)
        messages.add(str(refused.value))
    assert len(messages) == 1
    assert prefix == "ls"


def test_revoking_twice_keeps_the_first_time(any_engine: Engine) -> None:
    made = keys.create(any_engine, "console", ["score"])
    keys.revoke(any_engine, made.key.id, clock_=lambda: 7)
    keys.revoke(any_engine, made.key.id, clock_=lambda: 9)
    assert keys.listing(any_engine)[0].revoked_at == 7
    with pytest.raises(NotFound, match="not found"):
        keys.revoke(any_engine, "nope")


@pytest.mark.parametrize(
    ("name", "scopes", "harms", "field"),
    [
        ("x", [], None, "--scope"),
        ("x", ["root"], None, "--scope"),
        ("", ["score"], None, "--name"),
        ("a\nb", ["score"], None, "--name"),
        ("x" * 101, ["score"], None, "--name"),
        ("x", ["score"], [], "--harm"),
    ],
)
def test_invalid_arguments_create_no_key(
    any_engine: Engine, name: str, scopes: list[str], harms: list[str] | None, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        keys.create(any_engine, name, scopes, harms=harms)
    assert refused.value.field == field
    assert keys.listing(any_engine) == []


def test_scopes_and_harms_limit_access(any_engine: Engine) -> None:
    key = keys.create(any_engine, "x", ["score"], harms=["spam"]).key
    key.require("score")
    key.require_harm("spam")
    with pytest.raises(AccessDenied, match="leads:read"):
        key.require("leads:read")
    with pytest.raises(AccessDenied, match="sexism"):
        key.require_harm("sexism")
    admin = keys.create(any_engine, "boss", ["admin"]).key
    for scope in keys.SCOPES:
        admin.require(scope)


@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf"), 1e7])
def test_an_invalid_rate_creates_no_key(engine: Engine, rate: float) -> None:
    with pytest.raises(InvalidInput) as refused:
        keys.create(engine, "x", ["score"], rate=rate)
    assert refused.value.field == "--rate"


def test_a_rate_is_stored(any_engine: Engine) -> None:
    for rate in (None, 0.0, 12.5):
        made = keys.create(any_engine, "x", ["score"], rate=rate)
        assert verify(any_engine, made.text).rate == made.key.rate == rate

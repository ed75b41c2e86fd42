"""A state on a server that lost values, though it still has its position, starts over; a damaged one says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.declared.builtin import BUILTIN
from features.fold.known import Known, Record
from features.partition import WHOLE
from features.state.fence import new_owner
from features.state.sqlite import SqliteState
from features.state.store import StateStore
from features.state_stores import clear_states, open_state
from leads.errors import ConfigurationError, Unavailable
from leads.settings import Settings
from tests.support.features.state_servers import execute, server_of
from tests.support.features.state_settings import SERVERS, state_settings

BASE = "leads:state:{0of1}"
SLOW = pytest.mark.slow
# Store and what happens to its data.
LOSSES = [
    ("redis", f"DEL {BASE}:item"),
    ("redis", f"HDEL {BASE} view:item"),
    ("redis", f"HDEL {BASE} view:item view:account"),
    pytest.param("postgresql", "TRUNCATE fold_values", marks=SLOW),
    pytest.param("postgresql", "DELETE FROM fold_values WHERE view = 'item'", marks=SLOW),
    pytest.param("postgresql", "DELETE FROM fold_values WHERE view <> 'views'", marks=SLOW),
]


def opened(settings: Settings, owner: str = "", *, take_over: bool = True) -> StateStore:
    return open_state(settings, WHOLE, BUILTIN, owner=owner or new_owner(), take_over=take_over)


def lose(settings: Settings, what: str) -> None:
    if settings.state_store == "redis":
        with server_of(settings) as server:
            server.execute_command(*what.split())
    else:
        execute(settings, what)


@pytest.mark.parametrize(("store", "what"), LOSSES)
def test_a_worker_notices_lost_values_and_starts_over(
    store: str, what: str, tmp_path: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    settings, owner = state_settings(tmp_path, store, request), new_owner()
    state = opened(settings, owner)
    state.commit(1, {"item": {"a": b"1"}, "account": {"b": b"1"}})
    lose(settings, what)
    uses: list[Callable[[], object]] = [
        state.position,
        lambda: state.get("item", ["a"]),
        lambda: state.get("item", ["not stored"]),
        lambda: list(state.scan("item")),
    ]
    for use in uses:
        with pytest.raises(Unavailable, match="lost values"):
            use()
    state.close()
    state = opened(settings, owner, take_over=False)
    assert (state.position(), state.get("item", ["a"]), state.get("account", ["b"])) == (0, {}, {})
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    state.commit(2, {"item": {"c": b"2"}})
    state.close()
    state = opened(settings)
    assert (state.position(), state.get("item", ["a", "c"])) == (2, {"c": b"2"})
    state.close()


@pytest.mark.parametrize(("store", "what"), LOSSES)
def test_lost_values_are_noticed_even_if_a_commit_comes_first(
    store: str, what: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = state_settings(tmp_path, store, request)
    state = opened(settings)
    state.commit(1, {"item": {"a": b"1"}, "account": {"b": b"1"}})
    lose(settings, what)
    # PostgreSQL refuses the commit; with Redis, it leaves out what shows that the view is complete.
    if store == "postgresql":
        with pytest.raises(Unavailable, match="lost values"):
            state.commit(2, {"item": {"c": b"2"}})
    else:
        state.commit(2, {"item": {"c": b"2"}})
    state.close()
    state = opened(settings)
    assert (state.position(), state.get("item", ["a", "c"])) == (0, {})
    state.close()


@pytest.mark.parametrize("store", SERVERS)
def test_a_state_of_an_earlier_release_is_kept(
    store: str, tmp_path: Path, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    settings = state_settings(tmp_path, store, request)
    state = opened(settings)
    state.commit(1, {"item": {"a": b"1"}, "account": {"b": b"1"}})
    state.close()
    unmarked = f"HDEL {BASE} view_count" if store == "redis" else "DELETE FROM fold_values WHERE view = 'views'"
    lose(settings, unmarked)
    state = opened(settings)
    assert (state.position(), state.get("item", ["a"]), state.get("account", ["b"])) == (1, {"a": b"1"}, {"b": b"1"})
    state.close()
    assert not caplog.records
    # From now on, a loss is noticed.
    lose(settings, f"HDEL {BASE} view:item" if store == "redis" else "DELETE FROM fold_values WHERE view = 'item'")
    state = opened(settings)
    assert state.position() == 0
    state.close()


@pytest.mark.parametrize("store", SERVERS)
def test_a_state_of_an_earlier_release_that_lost_everything_starts_over(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = state_settings(tmp_path, store, request)
    state = opened(settings)
    state.commit(1, {"item": {"a": b"1"}})
    state.close()
    lose(settings, f"HDEL {BASE} view_count view:item" if store == "redis" else "TRUNCATE fold_values")
    state = opened(settings)
    assert (state.position(), state.get("item", ["a"])) == (0, {})
    state.close()


def _set_position(server: Any) -> None:
    server.hset(BASE, "position", "abc")


def _set_negative_position(server: Any) -> None:
    server.hset(BASE, "position", "-3")


def _set_other_field(server: Any) -> None:
    server.hset(BASE, b"\xff\xfe", "1")


def _replace_base(server: Any) -> None:
    server.set(BASE, "text")


def _replace_view(server: Any) -> None:
    server.set(f"{BASE}:item", "text")


@pytest.mark.parametrize(
    "damage", [_set_position, _set_negative_position, _set_other_field, _replace_base, _replace_view]
)
def test_a_damaged_state_in_redis_says_how_to_start_over(
    damage: Callable[[Any], None], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = state_settings(tmp_path, "redis", request)
    state = opened(settings)
    state.commit(1, {"item": {"a": b"1"}})
    with server_of(settings) as server:
        server.delete(BASE if damage is _replace_base else "none")
        server.delete(f"{BASE}:item" if damage is _replace_view else "none")
        damage(server)
    uses: list[Callable[[], object]] = [
        state.position,
        lambda: state.get("item", ["a"]),
        lambda: list(state.scan("item")),
        lambda: state.commit(2, {"item": {"a": b"2"}}),
        lambda: opened(settings),
    ]
    for use in uses:
        with pytest.raises(Unavailable, match=r"state in Redis is damaged\..*leads:state:\*.*--rebuild --once"):
            use()
    state.close()
    clear_states(settings)
    state = opened(settings)
    assert state.position() == 0
    state.close()


def test_a_damaged_value_of_the_router_says_how_to_start_over(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.db")
    state.commit(1, {"routed_reporter": {"r1": b"\xc1", "r2": b"\x92\x01\xa1\xff"}})
    for key in ("r1", "r2"):
        with pytest.raises(ConfigurationError, match=r"routed_reporter in .* is damaged.*--rebuild --once"):
            Known(state, "routed_reporter", Record, limit=10).load([key])
    state.close()


def test_a_key_that_no_worker_wrote_is_damage(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = state_settings(tmp_path, "redis", request)
    state = opened(settings)
    state.commit(1, {"item": {"a": b"1"}})
    with server_of(settings) as server:
        server.hset(f"{BASE}:item", b"\xff\xfe", b"1")
    with pytest.raises(Unavailable, match="damaged"):
        list(state.scan("item"))
    state.close()

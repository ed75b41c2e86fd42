"""One contract for the state stores, and what those on a server do when it is shared or loses data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.declared.builtin import BUILTIN
from features.partition import WHOLE, Partition
from features.state import postgresql, redis, sqlite
from features.state.fence import new_owner
from features.state.store import FORMAT, StateStore
from features.state_stores import clear_states, open_state
from leads.db.engine import unchecked_engine
from leads.errors import ConfigurationError, Conflict, Unavailable
from leads.settings import Settings, load_settings
from tests.support.features.state_servers import execute, go_back, lose, server_of
from tests.support.features.state_settings import SERVERS, STATE_STORES, state_settings

Values = dict[str, dict[str, bytes]]
keys = st.sampled_from(["", "a:1", "track:ß✓\u0000", "x" * 3_000, "\u00ff"]) | st.text(max_size=6)
values = st.sampled_from([b"", b"\x00", b"\xff" * 5_000]) | st.binary(max_size=9)
changes = st.dictionaries(
    st.sampled_from(["item", "account", "routed_item"]), st.dictionaries(keys, values, max_size=5)
)


@pytest.fixture(params=STATE_STORES)
def any_state(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return state_settings(tmp_path / "home", request.param, request)


@pytest.fixture(params=SERVERS)
def on_server(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    return state_settings(tmp_path / "home", request.param, request)


def opened(settings: Settings, partition: Partition = WHOLE, *, owner: str = "", take_over: bool = True) -> StateStore:
    return open_state(settings, partition, BUILTIN, owner=owner or new_owner(), take_over=take_over)


def commit(store: StateStore, position: int, changed: Values) -> None:
    store.commit(position, changed)


def other_home(settings: Settings) -> Settings:
    home = settings.home.with_name("other")
    urls = {"database_url": settings.database_url, "redis_url": settings.redis_url}
    return load_settings(home=home, corpora="", state_store=settings.state_store, **urls)


@hypothesis_settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(changes, st.booleans()), max_size=6))
def test_what_was_committed_last_is_found(any_state: Settings, commits: list[tuple[Values, bool]]) -> None:
    clear_states(any_state)
    expected: Values = {"item": {}, "account": {}, "routed_item": {}, "never written": {}}
    store = opened(any_state)
    assert store.position() == 0
    for position, (changed, restarted) in enumerate(commits, 1):
        commit(store, position, changed)
        for view, rows in changed.items():
            expected[view] |= rows
        if restarted:
            store.close()
            store = opened(any_state)
        assert store.position() == position
        for view, rows in expected.items():
            assert store.get(view, [*rows, "not stored"]) == rows
            assert store.get(view, []) == {}
            assert scanned(store, view) == rows
    store.close()


def test_many_values_in_one_commit(any_state: Settings) -> None:
    rows = {f"comment:{i}": i.to_bytes(400, "big") for i in range(5_000)}
    store = opened(any_state)
    commit(store, 1, {"item": rows})
    assert store.get("item", list(rows)) == rows
    parts = store.scan("item")
    found = dict(next(parts))
    assert 0 < len(found) < len(rows)
    commit(store, 2, {"item": dict.fromkeys(rows, b"")})
    assert set(store.get("item", list(rows)).values()) == {b""}
    for part in parts:
        found |= part
    assert found.keys() == rows.keys()
    assert all(value in (b"", rows[key]) for key, value in found.items())
    store.close()


def scanned(store: StateStore, view: str) -> dict[str, bytes]:
    return {key: value for part in store.scan(view) for key, value in part.items()}


def test_a_state_in_another_form_counts_as_empty(any_state: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(any_state)
    commit(store, 1, {"item": {"a": b"1"}})
    store.close()
    for module in (sqlite, redis, postgresql):
        monkeypatch.setattr(module, "FORMAT", FORMAT + 1)
    for _ in range(2):
        store = opened(any_state)
        assert (store.position(), store.get("item", ["a"])) == (0, {})
        store.close()


def test_a_commit_that_fails_changes_nothing(any_state: Settings) -> None:
    class Broken(dict[str, bytes]):
        def items(self) -> Any:
            raise RuntimeError("the rows can't be read")

    store = opened(any_state)
    commit(store, 1, {"item": {"a": b"1"}})
    with pytest.raises(RuntimeError):
        commit(store, 2, {"account": {"b": b"2"}, "item": Broken()})
    store.close()
    store = opened(any_state)
    assert (store.position(), store.get("item", ["a"]), store.get("account", ["b"])) == (1, {"a": b"1"}, {})
    store.close()


def test_partitions_have_states_of_their_own(any_state: Settings) -> None:
    stores = [opened(any_state, Partition(i, 2)) for i in range(2)]
    for i, store in enumerate(stores):
        commit(store, i + 1, {"item": {"a": bytes([i])}})
    assert [store.position() for store in stores] == [1, 2]
    assert [store.get("item", ["a"]) for store in stores] == [{"a": b"\x00"}, {"a": b"\x01"}]
    for store in stores:
        store.close()


def test_clearing_empties_every_partition(any_state: Settings) -> None:
    shares = [WHOLE, Partition(0, 2), Partition(1, 2)]
    for share in shares:
        store = opened(any_state, share)
        commit(store, 7, {"item": {"a": b"1"}, "account": {"b": b"2"}})
        store.close()
    clear_states(any_state)
    for share in shares:
        store = opened(any_state, share)
        assert (store.position(), store.get("item", ["a"]), store.get("account", ["b"])) == (0, {}, {})
        store.close()


def assert_unusable(store: StateStore, error: type[Exception], message: str) -> None:
    """Whatever the worker does, it must not use values that aren't its own."""
    uses: list[Callable[[], object]] = [
        store.position,
        lambda: store.get("item", ["a"]),
        lambda: store.get("item", ["not stored"]),
        lambda: scanned(store, "item"),
        lambda: commit(store, 9, {"item": {"a": b"old"}, "account": {"b": b"old"}}),
    ]
    for use in uses:
        with pytest.raises(error, match=message):
            use()


def test_a_worker_that_was_replaced_gets_an_error(on_server: Settings) -> None:
    replaced = opened(on_server)
    commit(replaced, 1, {"item": {"a": b"1"}})
    current = opened(on_server)
    # After an older copy was restored, the owner is an earlier one too.
    assert_unusable(replaced, Conflict, r"Another worker has taken over partition 0of1.*or an older copy .* restored")
    assert (current.position(), current.get("item", ["a"]), current.get("account", ["b"])) == (1, {"a": b"1"}, {})
    commit(current, 2, {"item": {"a": b"2"}})
    assert_unusable(replaced, Conflict, "Another worker has taken over partition 0of1")
    assert (current.position(), current.get("item", ["a"]), current.get("account", ["b"])) == (2, {"a": b"2"}, {})
    replaced.close()
    current.close()


def test_a_server_that_lost_everything_is_noticed(on_server: Settings) -> None:
    owner = new_owner()
    store = opened(on_server, owner=owner)
    commit(store, 1, {"item": {"a": b"1"}})
    lose(on_server)
    assert_unusable(store, Unavailable, "expected position 1, found nothing")
    store.close()
    store = opened(on_server, owner=owner, take_over=False)
    assert (store.position(), store.get("item", ["a"])) == (0, {})
    store.close()


def test_an_older_copy_of_the_state_is_noticed(on_server: Settings) -> None:
    owner = new_owner()
    store = opened(on_server, owner=owner)
    commit(store, 5, {"item": {"a": b"1"}})
    go_back(on_server, 3)
    assert_unusable(store, Unavailable, "expected position 5, found position 3")
    store.close()
    store = opened(on_server, owner=owner, take_over=False)
    assert store.position() == 3
    store.close()


def test_a_worker_that_was_replaced_does_not_take_the_state_back(on_server: Settings) -> None:
    owner = new_owner()
    replaced = opened(on_server, owner=owner)
    replaced.close()
    current = opened(on_server)
    with pytest.raises(Conflict):
        opened(on_server, owner=owner, take_over=False)
    assert current.position() == 0
    current.close()


def test_another_home_is_refused_until_it_computes_its_rows(on_server: Settings) -> None:
    store = opened(on_server)
    commit(store, 1, {"item": {"a": b"1"}})
    with pytest.raises(ConfigurationError, match=r"belongs to another home.*--rebuild"):
        opened(other_home(on_server))
    assert store.position() == 1
    clear_states(other_home(on_server))
    other = opened(other_home(on_server))
    assert other.position() == 0
    with pytest.raises(Conflict):
        store.position()
    store.close()
    other.close()


def test_a_state_from_before_a_rebuild_is_refused(on_server: Settings) -> None:
    store = opened(on_server)
    commit(store, 1, {"item": {"a": b"1"}})
    store.close()
    # Computing the rows again deletes this file, and the server restores what it had before.
    (on_server.features_dir / "state-home").unlink()
    with pytest.raises(ConfigurationError, match="rows that have been deleted since"):
        opened(on_server)


@pytest.mark.parametrize("copied", range(4))
def test_a_large_commit_to_redis_counts_once_it_is_staged(
    copied: int, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is killed when this many parts of the commit have been copied."""
    settings = state_settings(tmp_path, "redis", request)
    monkeypatch.setattr(redis, "_DIRECT", 2)
    store = opened(settings)
    commit(store, 1, {"item": {"a": b"1", "b": b"1"}})
    with monkeypatch.context() as patched:
        copy = redis.RedisState._copy

        def killed(self: redis.RedisState, staged: str, values: Iterator[Any]) -> None:
            copy(self, staged, islice(values, 2 * copied))
            raise KeyboardInterrupt

        patched.setattr(redis.RedisState, "_copy", killed)
        patched.setattr(redis.RedisState, "_finish", lambda self, staged: None)
        with pytest.raises(KeyboardInterrupt):
            commit(store, 2, {"item": {"a": b"2", "c": b"2"}, "account": {"\0": b"2", "": b"2"}})
    store.close()
    for _ in range(2):
        store = opened(settings)
        assert store.position() == 2
        assert scanned(store, "item") == {"a": b"2", "b": b"1", "c": b"2"}
        assert scanned(store, "account") == {"\0": b"2", "": b"2"}
        store.close()
    with server_of(settings) as server:
        assert len(server.keys("*")) == 3


def test_a_commit_whose_staged_values_redis_evicted_is_not_made(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = state_settings(tmp_path, "redis", request)
    monkeypatch.setattr(redis, "_DIRECT", 2)
    stage = redis.RedisState._stage

    def evicted(self: redis.RedisState, values: Sequence[Any]) -> str:
        name = stage(self, values)
        with server_of(settings) as server:
            assert 0 < server.ttl(name) <= 3_600
            server.delete(name)
        return name

    monkeypatch.setattr(redis.RedisState, "_stage", evicted)
    store = opened(settings)
    commit(store, 1, {"item": {"a": b"1"}})
    with pytest.raises(Unavailable, match="before they were committed"):
        commit(store, 2, {"item": dict.fromkeys("abc", b"2")})
    assert (store.position(), scanned(store, "item")) == (1, {"a": b"1"})
    store.close()


def test_a_view_that_redis_evicted_is_noticed(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = state_settings(tmp_path, "redis", request)
    store = opened(settings)
    commit(store, 1, {"item": {"a": b"1"}, "account": {"b": b"1"}})
    with server_of(settings) as server:
        server.delete("leads:state:{0of1}:item")
    assert store.get("account", ["b"]) == {"b": b"1"}
    with pytest.raises(Unavailable, match="lost values"):
        store.get("item", ["a"])
    store.close()
    store = opened(settings)
    assert (store.position(), store.get("account", ["b"])) == (0, {})
    store.close()


def test_values_without_a_position_are_not_used(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = state_settings(tmp_path, "redis", request)
    store = opened(settings)
    commit(store, 1, {"item": {"a": b"1"}})
    store.close()
    with server_of(settings) as server:
        server.delete("leads:state:{0of1}")
    store = opened(settings)
    commit(store, 1, {"item": {"b": b"2"}})
    assert store.get("item", ["a", "b"]) == {"b": b"2"}
    store.close()


def test_a_redis_that_may_evict_the_state_is_refused(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = state_settings(tmp_path, "redis", request)
    with server_of(settings) as server:
        server.config_set("maxmemory-policy", "allkeys-lru")
        opened(settings).close()
        server.config_set("maxmemory", 100_000_000)
        with pytest.raises(ConfigurationError, match=r"maxmemory-policy allkeys-lru.*noeviction"):
            opened(settings)


def test_a_full_redis_commits_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = state_settings(tmp_path, "redis", request)
    owner = new_owner()
    store = opened(settings, owner=owner)
    commit(store, 1, {"item": {"a": b"1"}})
    with server_of(settings) as server:
        server.config_set("maxmemory", server.info("memory")["used_memory"] + 100_000)
        with pytest.raises(Unavailable, match="free memory"):
            commit(store, 2, {"item": {"a": b"2"}, "account": {str(i): b"x" * 400 for i in range(5_000)}})
        server.config_set("maxmemory", 0)
    store.close()
    store = opened(settings, owner=owner, take_over=False)
    assert (store.position(), store.get("item", ["a"]), store.get("account", ["1"])) == (1, {"a": b"1"}, {})
    store.close()


@pytest.mark.parametrize(
    ("more", "field"),
    [({"state_store": "redis"}, "LEADS_REDIS_URL"), ({"state_store": "postgresql"}, "LEADS_STATE_STORE")],
)
def test_a_server_without_an_address_is_refused(tmp_path: Path, more: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        opened(load_settings(home=tmp_path, corpora="", **more))
    assert refused.value.field == field


def test_a_server_that_is_down_is_unavailable(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, corpora="", state_store="redis", redis_url="127.0.0.1:1")
    with pytest.raises(Unavailable, match="Redis state store"):
        opened(settings)
    with pytest.raises(Unavailable, match="Redis state store"):
        clear_states(settings)


@pytest.mark.slow
def test_postgresql_reads_values_through_the_index(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    settings = state_settings(tmp_path, "postgresql", request)
    store = opened(settings)
    rows = {f"comment:{i}": b"x" * 100 for i in range(30_000)}
    commit(store, 1, {"item": rows})
    store.close()
    execute(settings, "ANALYZE fold_values, fold_states")
    more = {"partition": "0of1", "owner": "", "position": 1, "view": "item", "sentinel": "item"}
    wanted = [key.encode() for key in list(rows)[::300]]
    for query, parameters in (
        (postgresql._GET, {"keys": wanted}),
        (postgresql._SCAN, {"first": b"comment:5", "limit": 2_000}),
    ):
        engine = unchecked_engine(settings)
        with engine.connect() as connection:
            plan = [line[:90] for line in connection.exec_driver_sql(f"EXPLAIN {query}", more | parameters).scalars()]
        engine.dispose()
        assert [line for line in plan if "fold_values_pkey" in line], plan
        assert not [line for line in plan if "Seq Scan on fold_values" in line], plan

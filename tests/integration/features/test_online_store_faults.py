"""Stores that are chosen wrongly, that only Feast's SDK knows, that are down, silent or drop connections."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from features.declared.builtin import LAYOUTS
from features.feast.online_config import PROJECT
from features.feast.store import repo_config
from features.online.codec import entity_key, row_of
from features.online.feast import FeastStore
from features.online.redis import RedisStore
from features.online.sqlite import SqliteStore
from features.online.stores import open_online_store
from features.online.writer import OnlineWriter
from features.redis.address import feast_address, parse_address, redis_options
from leads import clock
from leads.environment.values import FEAST_ONLINE_STORES
from leads.errors import ConfigurationError, Unavailable
from leads.settings import Settings, load_settings
from tests.support.features.online_world import other_sqlite, redis_by_options, row, stored, value_of


@pytest.fixture(params=["sqlite", "redis", "redis, unchecked"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A store that only Feast's SDK reads and writes."""
    if request.param == "sqlite":
        return other_sqlite(tmp_path, tmp_path / "other.db")
    more = ', "skip_dedup": true' if "unchecked" in request.param else ""
    return redis_by_options(tmp_path, request.getfixturevalue("redis_address"), more)


def test_any_other_store_keeps_the_newer_row_too(other: Settings) -> None:
    writer, reader = OnlineWriter(other), open_online_store(other)
    assert isinstance(reader, FeastStore)
    for layout in LAYOUTS:
        old, new = row(layout, "k", 0, [1], "a"), row(layout, "k", 2 * clock.SECOND, [2])
        for rows in ([new, old], [old], [row(layout, "l", 0, [3], "ß")]):
            writer.write_view(layout, rows)
        asked = [row_of(layout, ["k", "none", "l"])]
        expected = [value_of(one) for one in (new, None, row(layout, "l", 0, [3], "ß"))]
        assert stored(reader.get(asked)[0]) == expected
        newest = row(layout, "k", 3 * clock.SECOND, [4], "b")
        writer.write_view(layout, [newest])
        assert stored(reader.get(asked)[0])[0] == value_of(newest)
    reader.close()


def test_a_store_that_nobody_wrote_to_is_unavailable(tmp_path: Path) -> None:
    for store in (
        SqliteStore(str(tmp_path / "online.db"), 2.0),
        FeastStore(load_settings(home=tmp_path / "other", corpora="")),
    ):
        with pytest.raises(Unavailable) as refused:
            store.get([row_of(LAYOUTS[0], ["k"])])
        assert refused.value.field
        assert "leads worker" in (refused.value.remedy or "")
        store.close()


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"online_store": "redis"}, "LEADS_REDIS_URL", "not set"),
        ({"online_store": "postgres", "online_store_options": "host=db"}, "LEADS_ONLINE_STORE_OPTIONS", "JSON object"),
        ({"online_store": "postgres", "online_store_options": "[1]"}, "LEADS_ONLINE_STORE_OPTIONS", "JSON object"),
        ({"online_store_options": '{"path": "x"}'}, "LEADS_ONLINE_STORE_OPTIONS", "takes no options"),
        ({"online_store": "remote", "online_store_options": '{"type": "x"}'}, "LEADS_ONLINE_STORE_OPTIONS", "`type`"),
        ({"online_store": "redis", "online_store_options": '{"hunter2": 1}', "redis_url": "h"}, None, "hunter2"),
        ({"online_store": "nowhere.NoOnlineStore"}, "LEADS_ONLINE_STORE", "nowhere"),
        ({"online_store": "bigtable"}, "LEADS_ONLINE_STORE", "bigtable"),
    ],
)
def test_wrong_options_are_named(given: dict[str, str], field: str | None, says: str, tmp_path: Path) -> None:
    def use() -> None:
        settings = load_settings(home=tmp_path, corpora="", **given)
        open_online_store(settings).get([row_of(LAYOUTS[0], ["k"])])

    with pytest.raises(ConfigurationError, match=says) as refused:
        use()
    assert refused.value.field == (field or "LEADS_ONLINE_STORE_OPTIONS")
    assert refused.value.remedy


def test_a_password_in_the_options_isnt_shown(tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path, corpora="", online_store="remote", online_store_options='{"path": ["hunter2"]}'
    )
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()
    with pytest.raises(ConfigurationError) as refused:
        repo_config(settings)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_feasts_stores_are_all_known(tmp_path: Path) -> None:
    from feast.repo_config import ONLINE_STORE_CLASS_FOR_TYPE

    named = {name for name in ONLINE_STORE_CLASS_FOR_TYPE if not name.endswith("OnlineStore")}
    assert named == FEAST_ONLINE_STORES
    with pytest.raises(ConfigurationError, match="LEADS_ONLINE_STORE"):
        load_settings(home=tmp_path, online_store="memcached")


@pytest.mark.parametrize(
    "address", ["h", "h:1", "h:1,db=2,ssl=true", "h:1,password=00x=,", "h:1,username=u,password=12"]
)
def test_addresses_are_read_as_feast_reads_them(address: str) -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore

    (node, *_), options = RedisOnlineStore._parse_connection_string(address)
    ours, again = redis_options(address), feast_address(parse_address(address))
    same, ours_by_feast = RedisOnlineStore._parse_connection_string(again)
    assert (ours.pop("host"), str(ours.pop("port"))) == (node["host"], node.get("port", "6379"))
    # Feast takes a password of digits for a number.
    assert ours == {name: str(value) if name == "password" else value for name, value in options.items()}
    assert ours_by_feast == ours
    assert redis_options(again) == redis_options(address)
    assert same == [{"host": node["host"], "port": node.get("port", "6379")}]


def test_a_connection_dropped_while_idle_is_made_again(redis_address: str) -> None:
    store = RedisStore(redis_address, 2.0)
    asked = [row_of(LAYOUTS[0], ["k"])]
    store.get(asked)
    with redis.Redis(**redis_options(redis_address)) as client:
        assert client.client_kill_filter(_type="normal", skipme=True) >= 1
    assert stored(store.get(asked)[0]) == [value_of(None)]
    store.close()


@pytest.fixture
def listening() -> Iterator[Callable[[Callable[[socket.socket, int], None]], str]]:
    """Starts a server that treats each connection as it is told; gives its address."""
    server = socket.create_server(("127.0.0.1", 0))
    threads = []

    def start(treat: Callable[[socket.socket, int], None]) -> str:
        def serve() -> None:
            for number in range(100):
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    treat(connection, number)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"127.0.0.1:{server.getsockname()[1]}"

    yield start
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    for thread in threads:
        thread.join()


def test_a_connection_dropped_while_reading_is_tried_once_more(listening: Any) -> None:
    layout = LAYOUTS[-1]
    answer = b"$1\r\nx\r\n"
    drops = 1

    def drop_first(connection: socket.socket, number: int) -> None:
        while heard := connection.recv(100_000):
            if b"HGET" not in heard:
                connection.sendall(b"+OK\r\n" * heard.count(b"CLIENT"))
            elif number < drops:
                return
            else:
                connection.sendall(answer)

    store = RedisStore(listening(drop_first), 2.0)
    assert store.get([row_of(layout, ["k"])]) == [[[b"x"]]]
    drops = 10
    store.close()
    with pytest.raises(Unavailable, match="Redis"):
        store.get([row_of(layout, ["k"])])
    store.close()


def test_a_redis_that_is_down_or_silent_is_unavailable_soon(listening: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    silent = listening(lambda connection, _: time.sleep(4))
    for address in (closed, silent):
        store = RedisStore(address, 2.0)
        began = time.monotonic()
        with pytest.raises(Unavailable) as refused:
            store.get([row_of(LAYOUTS[0], ["k"])])
        assert time.monotonic() - began < 3.5
        assert refused.value.field == "LEADS_REDIS_URL"
        store.close()


def test_an_error_of_redis_doesnt_leave_answers_behind(redis_address: str) -> None:
    layout = LAYOUTS[0]
    with redis.Redis(**redis_options(redis_address)) as client:
        client.set(entity_key(layout.join_key, "text") + PROJECT.encode(), "not a hash")
    store = RedisStore(redis_address, 2.0)
    with pytest.raises(Unavailable):
        store.get([row_of(layout, ["text", "a", "b"])])
    assert stored(store.get([row_of(layout, ["a"])])[0]) == [value_of(None)]
    store.close()


@pytest.mark.parametrize("damage", [lambda raw: b"x" * len(raw), lambda raw: raw[:4_096] + b"x" * (len(raw) - 4_096)])
def test_a_damaged_sqlite_store_says_how_to_get_its_rows_back(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    settings, layout = load_settings(home=tmp_path, corpora=""), LAYOUTS[0]
    writer = OnlineWriter(settings)
    writer.write_view(layout, [row(layout, str(i), 0, [1]) for i in range(100)])
    with sqlite3.connect(settings.features_dir / "online.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    del writer
    path = settings.features_dir / "online.db"
    path.write_bytes(damage(path.read_bytes()))
    reader = open_online_store(settings)
    for use in (
        lambda: reader.get([row_of(layout, ["1"])]),
        lambda: OnlineWriter(settings).write_view(layout, [row(layout, "1", 0, [1])]),
    ):
        with pytest.raises(Unavailable, match=r"store is damaged .*delete .*online\.db\* and .*online-\*\.json"):
            use()
    reader.close()
    for found in settings.features_dir.glob("online.db*"):
        found.unlink()
    OnlineWriter(settings).write_view(layout, [row(layout, "1", 0, [1])])
    assert stored(open_online_store(settings).get([row_of(layout, ["1"])])[0]) == [value_of(row(layout, "1", 0, [1]))]


def test_a_sqlite_store_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    settings, layout = load_settings(home=tmp_path, corpora=""), LAYOUTS[0]
    writer = OnlineWriter(settings)
    writer.write_view(layout, [row(layout, "1", 0, [1])])
    writer._online._conn.execute("PRAGMA query_only = 1")
    with pytest.raises(Unavailable, match=r"Can't write .*permissions and free space"):
        writer.write_view(layout, [row(layout, "1", 0, [1])])

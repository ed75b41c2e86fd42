"""Feast's Redis store, read directly: a hash per entity, its key the entity key and the project.

A field's name is the murmur3 hash, 32 bits little endian, of `<view>:<feature>`.
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

from features.layout import Layout
from features.offline.segments import JOIN_KEYS
from features.online.codec import PROJECT, Values, entity_keys, fields
from leads.errors import Unavailable

_MORE = object()
_AT_ONCE = 1 << 18


class RedisStore:
    """Connections are kept and used again. When one was dropped while idle, all are forgotten and one is made anew.

    Args:
        timeout_s: of one `get`, however slowly the server sends.
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

        commands = b"".join(_commands(*one) for one in wanted)
        try:
            try:
                return self._read(commands, wanted)
            except (redis.ConnectionError, ConnectionError):
                self._forget()
                return self._read(commands, wanted)
        # Besides its own errors, what a server makes of it that doesn't speak the protocol.
        except (redis.RedisError, hiredis.HiredisError, OSError, ValueError, RecursionError) as error:
            raise Unavailable(
                "The Redis online store doesn't answer.", field="LEADS_REDIS_URL", remedy="Check that it runs."
            ) from error

    def _read(self, commands: bytes, wanted: Sequence[tuple[Layout, Sequence[str]]]) -> list[list[Values]]:
        """All commands in one buffer, all answers through one parser: redis-py takes them one by one."""
        connection = self._take()
        try:
            answers = _Answers(connection._sock, self._timeout_s)
            answers.ask(commands)
            found = [_rows(answers.next, len(keys), 1 + len(layout.links)) for layout, keys in wanted]
        except BaseException:
            # Answers that nobody read must not become those of the next request.
            connection.disconnect()
            raise
        if self._client is None:
            # Closed meanwhile: nobody would ever use or close it.
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

    def _forget(self) -> None:
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
        self._forget()


class _Answers:
    """What a server says on a socket, answer by answer, until the deadline."""

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        import hiredis

        self._socket = sock
        self._deadline = time.monotonic() + timeout_s
        self._reader = hiredis.Reader(notEnoughData=_MORE)

    def ask(self, commands: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(commands)

    def next(self) -> Any:
        """One answer; errors of the server are answers too.

        Raises:
            TimeoutError: it isn't here by the deadline.
            ConnectionError: the server hung up.
        """
        answer = self._reader.gets()
        while answer is _MORE:
            self._socket.settimeout(self._left())
            heard = self._socket.recv(_AT_ONCE)
            if not heard:
                raise ConnectionError("the server hung up")
            self._reader.feed(heard)
            answer = self._reader.gets()
        return answer

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server is too slow")
        return left


def _client(address: str, timeout_s: float) -> Any:
    """Without retries of its own: with them, a store that is down takes many times the timeout."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return redis.Redis(**(timeouts | redis_options(address)), retry=Retry(NoBackoff(), 0), protocol=2)


def _rows(answer: Callable[[], Any], count: int, fields_: int) -> list[Values]:
    """So many answers; each must be a list of that many values.

    Raises:
        ValueError: it isn't, so that answers that follow can't be trusted either.
    """
    rows = [answer() for _ in range(count)]
    for row in rows:
        if type(row) is not list or len(row) != fields_:
            raise ValueError("the server answered HMGET with something else")
        for value in row:
            if value is not None and type(value) is not bytes:
                raise ValueError("the server answered HMGET with something else")
    return rows


def _commands(layout: Layout, keys: Sequence[str]) -> bytes:
    """`HMGET <entity> <field> …` for each entity, in Redis' protocol."""
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
    """The stored names of a view's features."""
    import mmh3

    return tuple(struct.pack("<I", mmh3.hash(f"{view}:{name}", signed=False)) for name in names)


def redis_options(address: str) -> dict[str, Any]:
    """`host:port[,name=value…]`, as Feast writes and reads it, as arguments of `redis.Redis`.

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

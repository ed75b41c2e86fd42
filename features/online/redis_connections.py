"""Connections to Redis that send many commands in one buffer and parse all replies at once.

redis-py, which opens and closes them, would handle commands and replies one by one.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from features.redis.address import parse_address
from features.redis.client import failed, redis_client

T = TypeVar("T")

_INCOMPLETE = object()
_RECV_BYTES = 1 << 18


class RedisConnections:
    """Keeps connections open for reuse. If an idle one was dropped, all are closed and a new one is opened.

    Args:
        timeout_s: limit for one `exchange`, however slowly the server sends.
    """

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address = parse_address(address)
        self._timeout_s = timeout_s
        self._client: Any = None
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    def exchange(self, commands: bytes, count: int, read: Callable[[list[Any]], T]) -> T:
        """Send commands and read the replies. They may be sent twice, so they must have the same effect then.

        Args:
            count: how many commands these are.
            read: gets the `count` replies; error replies are exceptions among them.

        Raises:
            Unavailable: the server did not respond in time, or `read` raised ValueError.
        """
        import hiredis
        import redis

        try:
            try:
                return self._exchange(commands, count, read)
            except (redis.ConnectionError, ConnectionError):
                self._close_idle()
                return self._exchange(commands, count, read)
        # Besides redis-py's errors: what a reply raises that isn't in Redis's protocol.
        except (redis.RedisError, hiredis.HiredisError, OSError, ValueError, RecursionError) as error:
            raise failed("The Redis online store", self._address, error) from error

    def _exchange(self, commands: bytes, count: int, read: Callable[[list[Any]], T]) -> T:
        connection = self._take()
        try:
            found = read(_replies(connection._sock, commands, count, self._timeout_s))
        except BaseException:
            # Unread replies must not be taken for those of the next request.
            connection.disconnect()
            raise
        if self._client is None:
            # This was closed in the meantime, so nothing would ever reuse or close the connection.
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
                    self._client = redis_client(self._address, self._timeout_s)
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


def unexpected(replies: Iterable[object]) -> Exception:
    """The error for replies that aren't values. It says if Redis refused access."""
    import redis

    said = next((str(reply) for reply in replies if isinstance(reply, Exception)), "")
    if said.startswith("NOAUTH"):
        return redis.AuthenticationError(said)
    if said.startswith("NOPERM"):
        return redis.exceptions.NoPermissionError(said)
    # The replies after it can't be trusted either.
    return ValueError("a reply has an unexpected type or shape")


def _replies(sock: socket.socket, commands: bytes, count: int, timeout_s: float) -> list[Any]:
    """Send the commands and receive `count` replies.

    Raises:
        TimeoutError: they did not all arrive in time.
        ConnectionError: the server closed the connection.
    """
    import hiredis

    deadline = time.monotonic() + timeout_s

    def left() -> float:
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the server is too slow")
        return seconds

    reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
    # As one array: parsing replies one by one takes several times as long.
    reader.feed(b"*%d\r\n" % count)
    sock.settimeout(left())
    sock.sendall(commands)
    while (replies := reader.gets()) is _INCOMPLETE:
        sock.settimeout(left())
        received = sock.recv(_RECV_BYTES)
        if not received:
            raise ConnectionError("the server closed the connection")
        reader.feed(received)
    if reader.has_data():
        raise ValueError("the server sent more than it was asked for")
    found: list[Any] = replies
    return found

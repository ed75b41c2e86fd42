"""Connections to Redis that send many commands in one buffer and read the replies with one parser.

redis-py, which opens and closes them, would handle commands one by one.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from features.redis_client import redis_client, redis_options
from leads.errors import Unavailable

T = TypeVar("T")

_INCOMPLETE = object()
_RECV_BYTES = 1 << 18

NextReply = Callable[[], Any]


class RedisConnections:
    """Keeps connections open for reuse. If an idle one was dropped, all are closed and a new one is opened.

    Args:
        timeout_s: limit for one `exchange`, however slowly the server sends.
    """

    def __init__(self, address: str, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._client: Any = None
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    def exchange(self, commands: bytes, read: Callable[[NextReply], T]) -> T:
        """Send commands and read the replies. They may be sent twice, so they must have the same effect then.

        Args:
            read: calls its argument once for each reply; error replies are returned, not raised.

        Raises:
            Unavailable: the server did not respond in time, or `read` raised ValueError.
        """
        import hiredis
        import redis

        try:
            try:
                return self._exchange(commands, read)
            except (redis.ConnectionError, ConnectionError):
                self._close_idle()
                return self._exchange(commands, read)
        # Besides redis-py's errors: what a reply raises that isn't in Redis's protocol.
        except (redis.RedisError, hiredis.HiredisError, OSError, ValueError, RecursionError) as error:
            raise Unavailable(
                "The Redis online store did not respond.",
                field="LEADS_REDIS_URL",
                remedy="Check that it is running.",
            ) from error

    def _exchange(self, commands: bytes, read: Callable[[NextReply], T]) -> T:
        connection = self._take()
        try:
            replies = _Replies(connection._sock, self._timeout_s)
            replies.send(commands)
            found = read(replies.next)
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
                    self._client = redis_client(redis_options(self._address), self._timeout_s)
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

"""A server that speaks as much of Redis' protocol as the online reader needs, and fails as servers fail."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import mmh3
import numpy as np

from features.layout import Layout
from features.offline.segments import JOIN_KEYS
from features.online.codec import PROJECT, entity_key, fields, float_list_value, string_value_of

Mode = Literal["ok", "refuse", "hang", "slow", "dribble", "garbage", "error", "wrong_type", "cut"]
SLOW_S = 2.0
_DRIBBLE_S = 0.1
# A reply to HMGET is an array; each of these is something else, or an array of other things.
WRONG_TYPES = (
    b"+OK\r\n",
    b":1\r\n",
    b"$3\r\nabc\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*1\r\n:7\r\n",
    b"*1\r\n*1\r\n$1\r\nx\r\n",
)
GARBAGE = (
    b"\xff\xfe\x00 no protocol\r\n",
    b"$abc\r\n",
    b"*x\r\n",
    b"\r\n\r\n",
    b"%1\r\n+a\r\n+b\r\n",
    b"*1\r\n" * 3_000,
)


class FakeRedis:
    """Listens on loopback, or on a socket at `path`. What `hashes` holds is answered, as `mode` says.

    Args:
        port: 0: a free one.

    Attributes:
        hashes: by key, the fields and their values.
        reply: what answers HMGET in the modes `garbage` and `wrong_type`.
    """

    def __init__(self, path: Path | None = None, *, port: int = 0) -> None:
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self.reply = b""
        self._path = path
        self._port = port
        self._mode: Mode = "ok"
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listen()

    @property
    def address(self) -> str:
        """As `LEADS_REDIS_URL` names it."""
        if self._path is None:
            return f"127.0.0.1:{self._port}"
        return f"localhost:6379,unix_socket_path={self._path}"

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        """Connections live on, but for `refuse`, which drops them and lets no one in."""
        before, self._mode = self._mode, mode
        if mode == "refuse" != before:
            self._hang_up()
        elif before == "refuse" != mode:
            self._listen()

    def store(self, layout: Layout, key: str, packed: bytes, links: Sequence[str | None] = ()) -> None:
        """Hold a row as Feast's Redis store lays it out."""
        self.store_values(layout, key, values_of(layout, packed, links))

    def store_values(self, layout: Layout, key: str, values: Sequence[bytes]) -> None:
        """Hold any values in a row's place."""
        self.hashes[hash_key(layout, key)] = hash_of(layout, values)

    def close(self) -> None:
        self._ending.set()
        self._hang_up()
        for thread in self._threads:
            thread.join()

    def _listen(self) -> None:
        if self._path is None:
            self._server = socket.create_server(("127.0.0.1", self._port))
            self._port = self._server.getsockname()[1]
        else:
            self._path.unlink(missing_ok=True)
            self._server = socket.socket(socket.AF_UNIX)
            self._server.bind(str(self._path))
            self._server.listen()
        self._start(self._accept, self._server)

    def _start(self, target: object, *args: object) -> None:
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with self._lock:
                # One that came in while everyone was hung up on would be served for ever.
                if self._ending.is_set() or self._mode == "refuse":
                    connection.close()
                    continue
                self._connections.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as heard:
            for command in _commands(heard):
                name = command[0].upper()
                if name == b"HMGET":
                    if not self._answer(connection, command):
                        break
                else:
                    connection.sendall(b"+PONG\r\n" if name == b"PING" else b"+OK\r\n")
        with self._lock:
            self._connections.discard(connection)

    def _answer(self, connection: socket.socket, command: Sequence[bytes]) -> bool:
        """False ends the connection."""
        answer = _array([self.hashes.get(command[1], {}).get(name) for name in command[2:]])
        if self._mode == "hang":
            while not self._ending.is_set() and connection.recv(65_536):
                pass
            return False
        if self._mode == "slow":
            self._ending.wait(SLOW_S)
        elif self._mode == "dribble":
            for byte in answer:
                connection.sendall(bytes((byte,)))
                if self._ending.wait(_DRIBBLE_S):
                    return False
            return True
        elif self._mode == "cut":
            connection.sendall(answer[: len(answer) // 2])
            return False
        elif self._mode == "error":
            answer = b"-LOADING Redis is loading the dataset in memory\r\n"
        elif self._mode in ("garbage", "wrong_type"):
            answer = self.reply
        connection.sendall(answer)
        return True


@contextmanager
def fake_redis(path: Path | None = None, *, port: int = 0) -> Iterator[FakeRedis]:
    server = FakeRedis(path, port=port)
    try:
        yield server
    finally:
        server.close()


def hash_key(layout: Layout, key: str) -> bytes:
    """Where Feast's Redis store keeps an entity."""
    return entity_key(JOIN_KEYS[layout.view], key) + PROJECT.encode()


def hash_of(layout: Layout, values: Sequence[bytes]) -> dict[bytes, bytes]:
    """What it keeps there."""
    names = [mmh3.hash(f"{layout.view}:{name}", signed=False) for name in fields(layout)]
    return {struct.pack("<I", name): value for name, value in zip(names, values, strict=True)}


def values_of(layout: Layout, packed: bytes, links: Sequence[str | None] = ()) -> tuple[bytes, ...]:
    """A packed row and its first links as stored values."""
    given = (*links, *(None for _ in layout.links[len(links) :]))
    return (float_list_value(packed), *(string_value_of(link) for link in given))


def row_of(layout: Layout, **cells: float) -> bytes:
    """A packed row of NaN but for these cells, by their place `c<n>`."""
    packed = np.full(layout.width, np.nan, np.float32)
    for name, value in cells.items():
        packed[int(name[1:])] = value
    return packed.astype("<f4").tobytes()


def _commands(heard: object) -> Iterator[list[bytes]]:
    read_line, read = heard.readline, heard.read  # type: ignore[attr-defined]
    while head := read_line():
        command = []
        for _ in range(int(head[1:])):
            size = int(read_line()[1:])
            command.append(read(size))
            read(2)
        yield command


def _array(values: Sequence[bytes | None]) -> bytes:
    parts = [b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value) for value in values]
    return b"*%d\r\n" % len(parts) + b"".join(parts)

"""A server that implements the part of Redis's protocol that the online reader needs, and can fail in many ways."""

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

from features.feast.online_config import PROJECT
from features.layout import Layout, Matrix
from features.online.codec import bytes_value, entity_key
from features.rows import pack

Mode = Literal["ok", "refuse", "hang", "slow", "dribble", "garbage", "error", "wrong_type", "cut"]
SLOW_S = 2.0
_DRIBBLE_S = 0.1
# Invalid replies to HGET: not a string.
WRONG_TYPES = (
    b":1\r\n",
    b",1.5\r\n",
    b"#t\r\n",
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
    """Listens on loopback, or on a Unix socket at `path`. Serves `hashes` in the way that `mode` says.

    Args:
        port: 0 for a free port.

    Attributes:
        hashes: fields and values by key.
        reply: the reply to HGET in the modes `garbage` and `wrong_type`.
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
        """The address in the format of `LEADS_REDIS_URL`."""
        if self._path is None:
            return f"127.0.0.1:{self._port}"
        return f"localhost:6379,unix_socket_path={self._path}"

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        """Keeps connections open, except for `refuse`, which drops them and accepts no new ones."""
        before, self._mode = self._mode, mode
        if mode == "refuse" != before:
            self._drop_all()
        elif before == "refuse" != mode:
            self._listen()

    def store(self, layout: Layout, key: str, cells: Matrix, links: Sequence[str | None] = ()) -> None:
        """Store a row, (width,), in the layout of Feast's Redis store."""
        self.store_value(layout, key, value_of(layout, cells, links))

    def store_value(self, layout: Layout, key: str, value: bytes) -> None:
        """Store any value in place of a row."""
        self.hashes[hash_key(layout, key)] = hash_of(layout, value)

    def close(self) -> None:
        self._ending.set()
        self._drop_all()
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

    def _drop_all(self) -> None:
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
                # A connection accepted while all others are being dropped would be served forever.
                if self._ending.is_set() or self._mode == "refuse":
                    connection.close()
                    continue
                self._connections.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as stream:
            for command in _commands(stream):
                name = command[0].upper()
                if name == b"HGET":
                    if not self._answer(connection, command):
                        break
                else:
                    connection.sendall(b"+PONG\r\n" if name == b"PING" else b"+OK\r\n")
        with self._lock:
            self._connections.discard(connection)

    def _answer(self, connection: socket.socket, command: Sequence[bytes]) -> bool:
        """Returns False to end the connection."""
        answer = _bulk(self.hashes.get(command[1], {}).get(command[2]))
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
    """The Redis key of an entity in Feast's store."""
    return entity_key(layout.join_key, key) + PROJECT.encode()


def hash_of(layout: Layout, value: bytes) -> dict[bytes, bytes]:
    """The Redis hash of an entity in Feast's store."""
    name = mmh3.hash(f"{layout.view}:{layout.packed_name}", signed=False)
    return {struct.pack("<I", name): value}


def value_of(layout: Layout, cells: Matrix, links: Sequence[str | None] = ()) -> bytes:
    """A row, (width,), and its first links as a stored value."""
    given = (*links, *(None for _ in layout.links[len(links) :]))
    return bytes_value(pack(layout, cells[None], [given])[0])


def cells_of(layout: Layout, **cells: float) -> Matrix:
    """A row, (width,), of NaN, except for the cells given by position as `c<n>`."""
    row = np.full(layout.width, np.nan, np.float32)
    for name, value in cells.items():
        row[int(name[1:])] = value
    return row


def _commands(stream: object) -> Iterator[list[bytes]]:
    read_line, read = stream.readline, stream.read  # type: ignore[attr-defined]
    while head := read_line():
        command = []
        for _ in range(int(head[1:])):
            size = int(read_line()[1:])
            command.append(read(size))
            read(2)
        yield command


def _bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)

"""Keeps the state of the partitions in Redis.

Each partition has a hash with owner, position, home and form (see `features.state.fence`) and the names and number of
its views, and a hash per view with the values and a marker. Their names share a hash tag, so that a cluster stores them
together. Name, number and marker show that a view is complete. Values that were deleted from its hash are not noticed.

A small commit is one MULTI/EXEC; Redis executes it as a whole, and also restores it as a whole from its append-only
file. A large one would stop the server for a second. So its values are staged in a hash of their own first. Then one
transaction moves the position and names the staged hash; from there on, the commit counts. At last, the values are
copied to the views, some at a time. If the worker is killed meanwhile, the next one copies them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from features.redis.address import RedisAddress
from features.state.fence import Fence, Held
from features.state.redis_server import PREFIX, check_eviction, connect, damaged, translated
from features.state.store import FORMAT
from leads.errors import Unavailable

# No key, because keys are UTF-8. If a view's hash lacks it, Redis has evicted the hash.
_COMPLETE = b"\xff"
_VIEW = "view:"
_NUMBERS = {"position", "format", "view_count", "staged_count"}
# The most values that one transaction writes: the server executes nothing else for some milliseconds. A command writes
# fewer, and a scan reads about as many at a time.
_DIRECT, _CHUNK, _SCANNED = 4_000, 1_000, 2_000
# A staged hash that was not committed is deleted after this time.
_STAGED_S = 3_600
_ATTEMPTS = 10

# View, key and value.
_Value = tuple[str, str, bytes]


class _Stored(NamedTuple):
    """The hash of a partition: what the fence checks, the views, and a commit that isn't copied yet.

    `view_count` is None in a state that only an earlier release wrote, and too low if that wrote to it later.
    """

    held: Held | None
    views: set[str]
    view_count: int | None
    staged: str | None
    staged_count: int


class RedisState:
    """One connection for reads, and others for commits.

    Args:
        address: of the server.
        take_over: replace another worker of the same home; False: only continue what this fence's owner began.

    Raises:
        ConfigurationError: the server may evict the state, or the state belongs to another home.
        Conflict: another worker is the owner.
        Unavailable: the server doesn't respond.
    """

    def __init__(self, address: RedisAddress, fence: Fence, *, take_over: bool = True) -> None:
        self._fence = fence
        self._base = f"{PREFIX}{{{fence.name}}}"
        self._views: set[str] = set()
        self._address = address
        self._client = connect(address)
        try:
            with translated(self._address):
                check_eviction(self._client)
                staged = self._claim(take_over)
                if staged:
                    self._copy(staged, self._staged_values(staged))
        except BaseException:
            self._client.close()
            raise

    def position(self) -> int:
        with translated(self._address), self._client.pipeline(transaction=False) as pipeline:
            for view in self._views:
                pipeline.hexists(self._name(view), _COMPLETE)
            pipeline.hgetall(self._base)
            *complete, stored = pipeline.execute()
        self._check(stored, self._views, all(complete))
        return self._fence.position

    def get(self, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        if view not in self._views or not keys:
            return {}
        values = self._read("HMGET", view, *keys)
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    def scan(self, view: str) -> Iterator[dict[str, bytes]]:
        cursor = -1
        while view in self._views and cursor:
            cursor, found = self._read("HSCAN", view, max(cursor, 0), "COUNT", _SCANNED)
            yield {_text(key): value for key, value in found.items() if key != _COMPLETE}

    def commit(self, position: int, changed: Mapping[str, Mapping[str, bytes]]) -> None:
        values = [(view, key, value) for view, rows in changed.items() for key, value in rows.items()]
        with translated(self._address):
            if len(values) <= _DIRECT:
                self._write(values, {"position": position})
            else:
                staged = self._stage(values)
                moved = {"position": position, "staged": staged, "staged_count": len(values)}
                self._write([], moved, staged=staged)
            self._fence.position = position
            if len(values) > _DIRECT:
                self._copy(staged, iter(values))

    def close(self) -> None:
        self._client.close()

    def _read(self, command: str, view: str, *arguments: str | int) -> Any:
        name = self._name(view)
        with translated(self._address), self._client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command(command, name, *arguments)
            # After the values, so that these are known to have been the worker's own.
            pipeline.hexists(name, _COMPLETE)
            pipeline.hgetall(self._base)
            found, complete, stored = pipeline.execute()
        self._check(stored, {view}, complete)
        return found

    def _check(self, fields: Mapping[bytes, bytes], views: set[str], complete: bool) -> None:
        """Check that this worker is still the owner, and that views are named and `complete`: none was evicted."""
        stored = _stored(fields)
        self._fence.check(stored.held)
        if not complete or views - stored.views:
            raise self._fence.lost()

    def _stage(self, values: Sequence[_Value]) -> str:
        """Write values to a new hash; returns its name."""
        name = f"{self._base}:staged:{secrets.token_hex(8)}"
        for start in range(0, len(values), _CHUNK):
            flat: list[str | bytes] = []
            for view, key, value in values[start : start + _CHUNK]:
                flat += (f"{view}\0{key}", value)
            with self._client.pipeline(transaction=False) as pipeline:
                pipeline.execute_command("HSET", name, *flat)
                pipeline.expire(name, _STAGED_S)
                pipeline.execute()
        return name

    def _staged_values(self, staged: str) -> Iterator[_Value]:
        for field, value in self._client.hscan_iter(staged, count=_SCANNED):
            view, _, key = field.partition(b"\0")
            yield _text(view), _text(key), value

    def _copy(self, staged: str, values: Iterator[_Value]) -> None:
        """Copy staged values to their views. Copying some of them twice changes nothing."""
        while chunk := list(islice(values, _DIRECT)):
            self._write(chunk, {})
        self._finish(staged)

    def _finish(self, staged: str) -> None:
        self._transaction(lambda pipeline: pipeline.unlink(staged).hdel(self._base, "staged", "staged_count"))

    def _write(self, values: Sequence[_Value], fields: Mapping[str, Any], *, staged: str | None = None) -> None:
        """Write values and fields of the partition's hash in one transaction; `staged` is kept from then on."""
        views = dict.fromkeys(view for view, _, _ in values)

        def write(pipeline: Any) -> None:
            for view in views:
                self._put(pipeline, view, [value for value in values if value[0] == view])
            if views.keys() - self._views:
                pipeline.hset(self._base, "view_count", len(views.keys() | self._views))
            if staged:
                pipeline.persist(staged)
            if fields:
                pipeline.hset(self._base, mapping=fields)

        self._transaction(write, staged=staged, count=fields.get("staged_count", 0))
        self._views |= views.keys()

    def _put(self, pipeline: Any, view: str, values: Sequence[_Value]) -> None:
        name = self._name(view)
        if view not in self._views:
            # What is there was left behind when the hash with the position was lost.
            pipeline.unlink(name)
            pipeline.hset(name, _COMPLETE, b"")
            pipeline.hset(self._base, f"{_VIEW}{view}", 1)
        for start in range(0, len(values), _CHUNK):
            flat: list[str | bytes] = []
            for _, key, value in values[start : start + _CHUNK]:
                flat += (key, value)
            pipeline.execute_command("HSET", name, *flat)

    def _transaction(self, write: Callable[[Any], object], *, staged: str | None = None, count: int = 0) -> None:
        """Execute what `write` adds to a pipeline if this worker is still the owner.

        Args:
            staged: a hash that must have `count` values then.
        """
        from redis import WatchError

        with self._client.pipeline() as pipeline:
            pipeline.watch(self._base, *([staged] if staged else []))
            self._fence.check(_stored(pipeline.hgetall(self._base)).held)
            if staged and pipeline.hlen(staged) != count:
                raise Unavailable("Redis deleted values before they were committed.", field="LEADS_REDIS_URL")
            pipeline.multi()
            write(pipeline)
            try:
                pipeline.execute()
            except WatchError:
                self._fence.check(_stored(self._client.hgetall(self._base)).held)
                raise

    def _claim(self, take_over: bool) -> str | None:
        """Become the owner; returns the name of the staged hash that has to be copied."""
        from redis import WatchError

        fence = self._fence
        for _ in range(_ATTEMPTS):
            with self._client.pipeline() as pipeline:
                pipeline.watch(self._base)
                stored = _stored(pipeline.hgetall(self._base))
                fence.check_claim(stored.held, take_over=take_over)
                position = stored.held.position if stored.held and self._complete(pipeline, stored) else 0
                views = stored.views if position else set()
                pipeline.multi()
                if not position:
                    pipeline.unlink(self._base, *map(self._name, stored.views))
                held = Held(fence.owner, position, fence.home, FORMAT)
                pipeline.hset(self._base, mapping={**held._asdict(), "view_count": len(views)})
                try:
                    pipeline.execute()
                except WatchError:
                    continue
            fence.position = position
            self._views = views
            return stored.staged if position else None
        raise fence.contended()

    def _complete(self, client: Any, stored: _Stored) -> bool:
        """Whether the values are in today's form, and none of the hashes was evicted."""
        if stored.held is None or stored.held.format != FORMAT:
            return False
        # An earlier release counted no views, and committed nothing without values.
        expected = stored.view_count
        if expected is None:
            expected = 0 if stored.staged else 1
        complete = (
            len(stored.views) >= expected
            and (not stored.staged or client.hlen(stored.staged) == stored.staged_count)
            and all(client.hexists(self._name(view), _COMPLETE) for view in stored.views)
        )
        if stored.held.position and not complete:
            self._fence.log_loss()
        return complete

    def _name(self, view: str) -> str:
        return f"{self._base}:{view}"


def _stored(fields: Mapping[bytes, bytes]) -> _Stored:
    """Raises Unavailable if this isn't what a worker wrote."""
    text = {_text(name): _text(value) for name, value in fields.items()}
    try:
        numbers = {name: int(text[name]) for name in _NUMBERS & text.keys()}
    except ValueError as error:
        raise damaged() from error
    if any(number < 0 for number in numbers.values()):
        raise damaged()
    held = None
    if text.keys() >= set(Held._fields):
        held = Held(text["owner"], numbers["position"], text["home"], numbers["format"])
    views = {name.removeprefix(_VIEW) for name in text if name.startswith(_VIEW)}
    return _Stored(held, views, numbers.get("view_count"), text.get("staged"), numbers.get("staged_count", 0))


def _text(raw: bytes) -> str:
    """Raises Unavailable if this isn't a key or name that a worker wrote."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise damaged() from error

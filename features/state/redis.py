"""Keeps the state of the partitions in Redis.

Each partition has a hash with owner, position and home (see `features.state.fence`) and the names of its views, and a
hash per view with the values. Their names share a hash tag, so that a cluster stores them together. A commit is one
MULTI/EXEC; Redis executes it as a whole, and also restores it as a whole from its append-only file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from features.state.fence import Fence, Held
from features.state.store import FORMAT
from leads.errors import ConfigurationError, Unavailable

_PREFIX = "leads:state:"
# No key, because keys are UTF-8. If a view's hash lacks it, Redis has evicted the hash.
_COMPLETE = b"\xff"
_VIEW = "view:"
# A command that takes longer fails. The server executes a commit of 50,000 values in a tenth of a second.
_TIMEOUT_S = 60.0
# Values per command, and about how many a scan reads at a time.
_CHUNK, _SCANNED = 1_000, 2_000
_ATTEMPTS = 10


class RedisState:
    """One connection, and another one for each commit.

    Args:
        options: arguments for `redis.Redis`.
        take_over: replace another worker of the same home; False: only continue what this fence's owner began.

    Raises:
        ConfigurationError: the server may evict the state, or the state belongs to another home.
        Conflict: another worker is the owner.
        Unavailable: the server doesn't respond.
    """

    def __init__(self, options: Mapping[str, Any], fence: Fence, *, take_over: bool = True) -> None:
        self._fence = fence
        self._base = f"{_PREFIX}{{{fence.name}}}"
        self._client = _client(options)
        try:
            with _translated():
                _check_eviction(self._client)
                self._views = self._claim(take_over)
        except BaseException:
            self._client.close()
            raise

    def position(self) -> int:
        with _translated():
            self._fence.check(_held(self._client.hgetall(self._base)))
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
            yield {key.decode(): value for key, value in found.items() if key != _COMPLETE}

    def commit(self, position: int, changed: Mapping[str, Mapping[str, bytes]]) -> None:
        from redis import WatchError

        with _translated(), self._client.pipeline() as pipeline:
            pipeline.watch(self._base)
            self._fence.check(_held(pipeline.hgetall(self._base)))
            pipeline.multi()
            for view, rows in changed.items():
                self._put(pipeline, view, rows)
            views = {f"{_VIEW}{view}": 1 for view in changed}
            pipeline.hset(self._base, mapping={"position": position, **views})
            try:
                pipeline.execute()
            except WatchError:
                self._fence.check(_held(self._client.hgetall(self._base)))
                raise
        self._fence.position = position
        self._views |= changed.keys()

    def close(self) -> None:
        self._client.close()

    def _read(self, command: str, view: str, *arguments: str | int) -> Any:
        name = self._name(view)
        with _translated(), self._client.pipeline(transaction=False) as pipeline:
            pipeline.execute_command(command, name, *arguments)
            # After the values, so that these are known to have been the worker's own.
            pipeline.hexists(name, _COMPLETE)
            pipeline.hgetall(self._base)
            found, complete, held = pipeline.execute()
        # A view that was evicted is missing though the position is right.
        self._fence.check(_held(held) if complete else None)
        return found

    def _put(self, pipeline: Any, view: str, rows: Mapping[str, bytes]) -> None:
        name = self._name(view)
        if view not in self._views:
            # Left behind where the hash with the position was lost.
            pipeline.unlink(name)
            pipeline.hset(name, _COMPLETE, b"")
        pairs = list(rows.items())
        for start in range(0, len(pairs), _CHUNK):
            flat = [part for pair in pairs[start : start + _CHUNK] for part in pair]
            pipeline.execute_command("HSET", name, *flat)

    def _claim(self, take_over: bool) -> set[str]:
        """Become the owner; returns the names of the views that are stored."""
        from redis import WatchError

        fence = self._fence
        for _ in range(_ATTEMPTS):
            with self._client.pipeline() as pipeline:
                pipeline.watch(self._base)
                stored = pipeline.hgetall(self._base)
                held = _held(stored)
                fence.check_claim(held, take_over=take_over)
                names = [name.decode() for name in stored]
                views = {name.removeprefix(_VIEW) for name in names if name.startswith(_VIEW)}
                complete = held is not None and held.format == FORMAT
                complete = complete and all(pipeline.hexists(self._name(view), _COMPLETE) for view in views)
                pipeline.multi()
                if not complete:
                    pipeline.unlink(self._base, *map(self._name, views))
                position = held.position if held and complete else 0
                pipeline.hset(self._base, mapping=Held(fence.owner, position, fence.home, FORMAT)._asdict())
                try:
                    pipeline.execute()
                except WatchError:
                    continue
            fence.position = position
            return views if complete else set()
        raise fence.contended()

    def _name(self, view: str) -> str:
        return f"{self._base}:{view}"


def clear(options: Mapping[str, Any]) -> None:
    """Delete the state of every partition.

    Raises:
        Unavailable: the server doesn't respond.
    """
    client = _client(options)
    try:
        with _translated():
            for name in list(client.scan_iter(match=f"{_PREFIX}*", count=10_000)):
                client.unlink(name)
    finally:
        client.close()


def _client(options: Mapping[str, Any]) -> Any:
    """A client that doesn't retry: it can't know whether a commit that failed took effect."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeouts = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}
    return redis.Redis(**(timeouts | dict(options)), retry=Retry(NoBackoff(), 0), protocol=2)


def _held(stored: Mapping[bytes, bytes]) -> Held | None:
    if not stored.keys() >= {name.encode() for name in Held._fields}:
        return None
    owner, home = stored[b"owner"].decode(), stored[b"home"].decode()
    return Held(owner, int(stored[b"position"]), home, int(stored[b"format"]))


def _check_eviction(client: Any) -> None:
    """Raises ConfigurationError if the server deletes keys that don't expire when its memory is full."""
    import redis

    try:
        memory = client.info("memory")
    except redis.ResponseError:
        # Not allowed to ask. A state that has been evicted is noticed in any case.
        return
    policy = str(memory.get("maxmemory_policy", ""))
    if memory.get("maxmemory") and policy.startswith("allkeys"):
        raise ConfigurationError(
            f"Redis deletes keys of the state when its memory is full (maxmemory-policy {policy}).",
            field="LEADS_REDIS_URL",
            remedy="Set maxmemory-policy to noeviction.",
        )


@contextmanager
def _translated() -> Iterator[None]:
    import redis

    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Unavailable(
            f"The Redis state store failed ({type(error).__name__}).",
            field="LEADS_REDIS_URL",
            remedy="Check that it is running, accepts writes and has free memory.",
        ) from error

"""Forks workers and kills each with SIGKILL at a random durable step. Run by test_feature_kills.py.

Feast is imported once, in this process; the forked workers are real processes with real files. A durable step is
anything that stays on disk or in a store: a rename, a removal, an fsync, a commit, a statement that writes, a Redis
transaction or the first half of what it sends.
Arguments: seed, number of kills. Prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import redis

from features import materialize
from features.feast.store import import_feast
from features.materialize import Materializer
from features.state import redis as redis_state
from leads.db.engine import open_engine
from leads.settings import load_settings

_steps = 0
_die_at = sys.maxsize


def _counted(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a step so that the process can die right before it (even `_die_at`) or right after it (odd)."""

    def step(*args: Any, **kwargs: Any) -> Any:
        global _steps
        _steps += 1
        # A step may contain others.
        own = _steps * 2
        if own == _die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        result = inner(*args, **kwargs)
        if own + 1 == _die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return step


class _Connection(sqlite3.Connection):
    commit = _counted(sqlite3.Connection.commit)
    __exit__ = _counted(sqlite3.Connection.__exit__)


def _watch() -> None:
    os.replace = _counted(os.replace)
    os.fsync = _counted(os.fsync)
    Path.unlink = _counted(Path.unlink)  # type: ignore[method-assign]
    connect = sqlite3.connect
    sqlite3.dbapi2.connect = sqlite3.connect = lambda *a, **k: connect(*a, **{"factory": _Connection, **k})  # type: ignore
    redis.client.Pipeline.execute = _counted(redis.client.Pipeline.execute)
    redis.connection.AbstractConnection.send_packed_command = _in_halves(  # type: ignore[method-assign]
        redis.connection.AbstractConnection.send_packed_command
    )
    psycopg.Connection.commit = _counted(psycopg.Connection.commit)  # type: ignore[method-assign]
    execute, put = psycopg.Cursor.execute, _counted(psycopg.Cursor.execute)
    psycopg.Cursor.execute = lambda cursor, query, *a, **k: (  # type: ignore[assignment,method-assign]
        put if str(query).lstrip().startswith(("INSERT", "UPDATE")) else execute
    )(cursor, query, *a, **k)


def _in_halves(send: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the sending of commands so that the process can die when the server has half of them."""
    first = _counted(send)

    def sent(connection: Any, command: Any, *args: Any, **kwargs: Any) -> None:
        parts = list(command) if isinstance(command, list) else [command]
        half = len(parts) // 2
        if half:
            first(connection, parts[:half], *args, **kwargs)
        send(connection, parts[half:], *args, **kwargs)

    return sent


def work(read: int, *, tail: bool) -> None:
    """Work in small steps with frequent flushes and merges, so that there are many moments to be killed at.

    On the tail, rows are written online before they are written to segments; for a backlog it is the other way round.
    """
    settings = load_settings(online_flush_s=0.001, segment_flush_s=0.002)
    materialize._CHANGES = 100
    # Some commits to Redis are small and some are large.
    redis_state._DIRECT = 60
    materializer = Materializer(settings, open_engine(settings), read=read)
    materializer.segments._grace_s = 0.0
    if not tail:
        materializer.run_to_head()
        return
    steps = 0
    while materializer.step().events:
        materializer.save()
        steps += 1
        if steps % 5 == 0:
            materializer.segments.compact()
    materializer.flush()


def fork(die_at: int, read: int, *, tail: bool = True) -> tuple[int, int]:
    """Work in a forked child that dies at a step, or ends normally; returns (signal, exit code)."""
    global _die_at
    child = os.fork()
    if child == 0:
        _die_at = die_at
        code = 1
        try:
            _watch()
            work(read, tail=tail)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return (os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0), os.waitstatus_to_exitcode(status)


def main() -> None:
    seed, kills = int(sys.argv[1]), int(sys.argv[2])
    rng = random.Random(seed)
    import_feast()
    import feast.infra.online_stores.redis
    import feast.infra.online_stores.sqlite  # noqa: F401

    kills_done = 0
    while kills_done < kills:
        ended, code = fork(rng.randrange(2, 240), rng.choice([40, 100, 250]), tail=rng.random() < 0.6)
        if ended == signal.SIGKILL:
            kills_done += 1
        elif code == 0:
            # The worker finished before its step came: there is no work left.
            break
        else:
            raise SystemExit(f"a worker failed with {code}")
    ended, code = fork(sys.maxsize, 400)
    print(json.dumps({"killed": kills_done, "last": code, "signal": ended}))


if __name__ == "__main__":
    main()

"""Forks runs of monitoring and kills each at another moment. Run by test_kills.py.

A moment is right before or right after a commit. Everything is imported once, in this process; the forked runs are real
processes with real files. Arguments: the home, the time of the run (µs), the first moment and the number of moments.
Prints how many runs were killed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from functools import partial
from pathlib import Path

from leads.db.engine import open_engine
from leads.settings import load_settings
from monitoring.running.run import run
from tests.support.monitoring.watch_world import JOBS, world_of

_moments = 0
_die_at = sys.maxsize


def _moment() -> None:
    global _moments
    if _moments == _die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    _moments += 1


class _Connection(sqlite3.Connection):
    def commit(self) -> None:
        _moment()
        super().commit()
        _moment()


def main(home: str, now: str, first: str, many: str) -> None:
    global _die_at
    settings = load_settings(home=Path(home), corpora="none")
    connect = sqlite3.dbapi2.connect
    killed = 0
    for die_at in range(int(first), int(first) + int(many)):
        pid = os.fork()
        if not pid:
            _die_at = die_at
            sqlite3.dbapi2.connect = partial(connect, factory=_Connection)
            run(world_of(settings, open_engine(settings), int(now)), only=JOBS, then=())
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        killed += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    print(killed)


if __name__ == "__main__":
    main(*sys.argv[1:])

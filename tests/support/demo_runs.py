"""Running `leads demo` as a user does, killing it, and reading what it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from cli.ui.demo import REVIEWER
from leads import clock
from leads.db import tables
from leads.db.engine import open_engine, reading
from leads.files import write_json
from leads.settings import load_settings

LIMIT_S = 850


# Of the simulated time in every demo of this process. As in a demo of one's own it ends when that one starts: the drift
# verdict is about the last day, so that an end at midnight would leave fewer subjects the later the tests run.
END = clock.now()


def prepare(home: Path) -> Path:
    """A home in which every demo ends its simulated time at the same instant."""
    home.mkdir(parents=True)
    # As others would make it: they may enter.
    home.chmod(0o755)
    write_json(home / "demo.json", {"quick": True, "end": END, "done": []})
    return home


# The checkout's own command.
LEADS = (sys.executable, "-P", "-m", "cli")


def start_demo(
    home: Path, log: Path, leads: Sequence[str] = LEADS, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a demo with the command `leads` in `folder`; from an installed command, nothing of the checkout is used."""
    env = {**os.environ, "LEADS_HOME": str(home), "LEADS_CORPORA": "none", "PYTHONWARNINGS": "default"}
    if leads is not LEADS:
        env.pop("PYTHONPATH", None)
    with log.open("ab") as out:
        return subprocess.Popen(
            [*leads, "demo", "--quick"],
            env=env,
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )


def run_demo(home: Path, log: Path, leads: Sequence[str] = LEADS, folder: Path | None = None) -> float:
    """Run a demo to its end; returns how long it took in seconds."""
    began = time.monotonic()
    child = start_demo(home, log, leads, folder)
    code = child.wait(LIMIT_S)
    assert code == 0, log.read_text()[-3_000:]
    return time.monotonic() - began


def kill_demo(home: Path, log: Path, after_s: float) -> bool:
    """Start a demo and SIGKILL it after a while; True when it was still running."""
    child = start_demo(home, log)
    try:
        child.wait(after_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True
    return False


def leads_of(home: Path) -> list[tuple[object, ...]]:
    """Every lead with its score and reasons; which one the demo's reviewer decided depends on when it ran."""
    engine = open_engine(load_settings(home=home, corpora=""))
    t = tables.leads.c
    with reading(engine) as connection:
        query = sa.select(
            t.id, t.type_id, t.subject_id, t.harm, t.score, t.tier, t.base_priority, t.reasons, t.scored_at
        )
        rows = [(*row[:7], str(row.reasons), row.scored_at) for row in connection.execute(query.order_by(t.id))]
    engine.dispose()
    return rows


def decided_of(home: Path) -> int:
    """How many leads the demo itself decided; others were decided in its history."""
    engine = open_engine(load_settings(home=home, corpora=""))
    with reading(engine) as connection:
        its_own = tables.reviews.c.reviewer == REVIEWER, tables.reviews.c.state == "decided"
        query = sa.select(sa.func.count()).select_from(tables.reviews).where(*its_own)
        found = connection.execute(query).scalar_one()
    engine.dispose()
    return int(found)


def still_running(home: Path) -> list[str]:
    """Command lines of processes that were started for this home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"LEADS_HOME={home}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found

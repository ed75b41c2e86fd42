"""How long requests take while versions move, and while none does: a soak of large versions of three harms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from benchmarks.alias_mover import alias_mover
from benchmarks.serving.load import Reply, Request, drive, post, scores_in
from benchmarks.serving.servers import follower, our_service, wait_until_ready
from leads.db import keys
from leads.db.engine import open_engine
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import RunRecord
from models.write import write_version
from serving.versions.published_state import read_state
from tests.support.serving.large_versions import large_parts
from tests.support.serving.world import BENIGN_TEXT, SPAM_TEXT

HARMS = ("spam", "sexism", "harassment")
# One more than a process keeps loaded and the follower keeps on disk: every move fetches, verifies and loads.
VERSIONS = 5
SECONDS, BLOCK_S = 180.0, 30.0
RATE, CONNECTIONS = 100.0, 8
# Until the last move before has reached the service.
MOVE_S, SETTLE_S = 3.0, 6.0
P99_MS, TIMES = 15.0, 2.0


@dataclass
class Seen:
    """Seconds of each request since it was due, and which versions answered."""

    seconds: list[float] = field(default_factory=list)
    versions: set[tuple[str, str]] = field(default_factory=set)
    failed: int = 0

    def take(self, reply: Reply) -> None:
        self.seconds.append(reply.seconds)
        scores = scores_in(reply.body) if reply.status == 200 else []
        self.failed += len(scores) != len(HARMS)
        self.versions |= {(score.harm, score.version) for score in scores}

    def quantile_ms(self, q: float) -> float:
        return float(np.quantile(self.seconds, q)) * 1_000


def registered(settings: Settings, folder: Path) -> dict[str, list[str]]:
    """Versions of each harm; the first one is champion."""
    registry = MlflowRegistry(settings)
    found: dict[str, list[str]] = {}
    for harm in HARMS:
        for number in range(VERSIONS):
            made = write_version(folder / f"{harm}-{number}", large_parts(harm, shift=number / 10))
            found.setdefault(harm, []).append(registry.register(harm, made, RunRecord(fingerprint=f"{harm}-{number}")))
        registry.set_alias(harm, "champion", found[harm][0])
    return found


def requests_of(key: str) -> Iterator[Request]:
    """One comment each, with a text of its own among 2,000."""
    made = []
    for i in range(2_000):
        text = f"{SPAM_TEXT if i % 9 == 0 else BENIGN_TEXT}, number {i} of those that were posted today"
        data: dict[str, Any] = {"text": text, "accountId": f"a{i % 300}"}
        body = {"subjects": [{"id": f"c{i}", "typeId": "comment", "data": data}], "harms": list(HARMS)}
        made.append(Request(post("/v1/score", msgspec.json.encode(body), {"x-api-key": key}), len(HARMS)))
    return cycle(made)


@contextmanager
def moving(move: Callable[[str, str], None], turns: Iterator[tuple[str, str]]) -> Iterator[None]:
    """Move one champion every few seconds."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(MOVE_S):
            move(*next(turns))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.soak
def test_requests_take_as_long_while_versions_move(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_engine(settings)
    key = keys.create(engine, "soak", ["score"], rate=0).text
    engine.dispose()
    versions = registered(settings, tmp_path)
    turns = cycle((harm, versions[harm][turn % VERSIONS]) for turn in range(1, VERSIONS + 1) for harm in HARMS)
    requests, calm, moved = requests_of(key), Seen(), Seen()
    with (
        alias_mover(settings) as move,
        our_service("the soaked service", settings) as server,
        follower(settings),
    ):
        until(lambda: all(harm in read_state(settings.published_dir).harms for harm in HARMS))
        wait_until_ready(server, "/readyz")

        def load(seen: Seen, seconds: float) -> None:
            drive(server.port, requests, connections=CONNECTIONS, seconds=seconds, take=seen.take, rate=RATE)

        # Texts are cached, and each harm has its previous champion.
        with moving(move, turns):
            load(Seen(), BLOCK_S)
        # In turns, so that whatever else happens on this machine happens to both.
        for _ in range(round(SECONDS / BLOCK_S)):
            load(Seen(), SETTLE_S)
            load(calm, BLOCK_S)
            with moving(move, turns):
                load(moved, BLOCK_S)
    with capsys.disabled():
        for name, seen in (("without moves", calm), ("while versions move", moved)):
            print(
                f"\n{name}: {len(seen.seconds):,} requests at {RATE:.0f}/s, p50 {seen.quantile_ms(0.5):.2f} ms, "
                f"p99 {seen.quantile_ms(0.99):.2f} ms, longest {seen.quantile_ms(1.0):.1f} ms, "
                f"{len(seen.versions)} versions answered",
                end="",
            )
        print()
    assert (calm.failed, moved.failed) == (0, 0)
    assert len(moved.versions) == VERSIONS * len(HARMS)
    assert moved.quantile_ms(0.99) <= P99_MS
    assert moved.quantile_ms(0.99) <= TIMES * calm.quantile_ms(0.99)


def until(done: Any) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)

"""Minutes of load at 70% of capacity while the champion's alias moves between good versions and damaged ones.

Requests are sent at a fixed rate over 16 connections and timed from when they were due. Afterwards every score is
computed again, from the vector in the prediction log and the version that the answer names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.alias_mover import alias_mover
from benchmarks.report import Measure, at_most, console
from benchmarks.serving.load import Reply, Score, drive, run_load, scores_in
from benchmarks.serving.servers import follower, our_service, wait_until_ready
from benchmarks.serving.systems.systems import score_request
from benchmarks.serving.versions import register_bad, register_variant
from benchmarks.serving.world import ServedWorld
from leads import clock
from leads.clock import Micros
from leads.db.model_changes import CHAMPION
from leads.errors import LeadsError, ModelRefused
from leads.predictions.log import read_predictions
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from models.version import load as load_version

HARM = "spam"
_SHARE = 0.7
_CONNECTIONS = 16
_CAPACITY_S = 5.0
_MOVE_S = 10.0
# Before the soak and during its first part, caches fill, versions are loaded and the allocator's arenas grow: memory
# isn't compared before that.
_SETTLE_S, _WARM_UP_SHARE = 24.0, 0.3
# Numbers of the variants; the alias benchmark uses lower ones.
_GOOD, _BAD = (10, 11), (20, 21)
_TOLERANCE = 1e-6
_GROWTH_BAR_MB = 1.0
_PER = 100_000
_RESAMPLES, _BLOCK, _FEWEST = 2_000, 20, 12

Floats = npt.NDArray[np.float64]


@dataclass
class SoakLog:
    """What was seen during a soak. `memory` holds (answers so far, resident MB) of each second."""

    began: Micros
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)

    def take(self, reply: Reply) -> None:
        self.latencies.append(reply.seconds)
        if reply.status == 200:
            self.bodies.append(reply.body)


def soak(world: ServedWorld, folder: Path, seconds: float) -> list[Measure]:
    """Times, failed requests, wrong scores, and whether memory grows."""
    settings, registry = world.redis, MlflowRegistry(world.redis)
    good = ["1", *(register_variant(settings, HARM, folder, number) for number in _GOOD)]
    bad = [register_bad(settings, HARM, folder, number) for number in _BAD]
    # While a damaged version is the champion, the good one before it must go on serving.
    turns = cycle([good[1], bad[0], good[2], bad[1], good[0]])
    requests = [score_request(world.key, [id_], (HARM,)) for id_ in world.ids]
    with (
        alias_mover(settings) as make_champion,
        our_service("the soaked service", settings) as server,
        follower(settings),
    ):
        wait_until_ready(server, "/readyz")

        def move() -> None:
            make_champion(HARM, next(turns))

        with _every(_SETTLE_S / 8, move):
            run_load(server.port, requests, connections=_CONNECTIONS, seconds=_SETTLE_S)
        calm = run_load(server.port, requests, connections=_CONNECTIONS, seconds=_CAPACITY_S)
        rate = _SHARE * len(calm.latencies) / calm.seconds
        console.print(f"Soaking at {rate:.0f} requests/s for {seconds:.0f} s")
        seen = SoakLog(began=clock.now())

        def look() -> None:
            seen.memory.append((len(seen.latencies), server.rss_mb()))

        with _every(_MOVE_S, move), _every(1.0, look):
            drive(server.port, cycle(requests), connections=_CONNECTIONS, seconds=seconds, take=seen.take, rate=rate)
    registry.set_alias(HARM, CHAMPION, "1")
    return [*_answers(settings, folder, seen, rate), *_memory(seen.memory)]


@contextmanager
def _every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Do the work at intervals in a thread while the block runs.

    Raises:
        LeadsError, OSError: the work failed; raised at the end of the block.
    """
    stopped, errors = threading.Event(), []

    def run() -> None:
        try:
            while not stopped.wait(seconds):
                work()
        except (LeadsError, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
    if errors:
        raise errors[0]


def _answers(settings: Settings, folder: Path, seen: SoakLog, rate: float) -> list[Measure]:
    """Times, failures, and whether every score is the one that its version gives."""
    scores = [score for body in seen.bodies for score in scores_in(body)]
    vectors = _logged(settings, seen.began)
    unlogged = sum(score.prediction not in vectors for score in scores)
    versions = sorted({score.version for score in scores}, key=int)
    registry, wrong = MlflowRegistry(settings), 0
    for version in versions:
        named = [score for score in scores if score.version == version and score.prediction in vectors]
        wrong += _wrong(registry, folder, version, named, vectors)
    p50, p99 = (float(np.quantile(seen.latencies, q)) * 1_000 for q in (0.5, 0.99))
    n = len(seen.latencies)
    return [
        Measure("soak: rate of requests", rate, "requests/s"),
        Measure("soak: p50, from when a request was due", p50, "ms"),
        Measure("soak: p99, from when a request was due", p99, "ms"),
        Measure("soak: versions that served", len(versions), "versions"),
        Measure("soak: requests", n, "requests"),
        at_most("soak: failed requests", n - len(scores), "requests", 0),
        at_most("soak: scores that differ from those of their version", wrong, "scores", 0),
        at_most("soak: scores missing in the prediction log", unlogged, "scores", 0),
    ]


def _logged(settings: Settings, since: Micros) -> dict[str, tuple[str, Floats]]:
    """Version and vector by prediction id."""
    table = read_predictions(settings.predictions_dir, HARM, since)
    if not len(table):
        return {}
    vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    ids, versions = table["prediction_id"].to_pylist(), table["model_version"].to_pylist()
    return {id_: (version, vector) for id_, version, vector in zip(ids, versions, vectors, strict=True)}


def _wrong(
    registry: MlflowRegistry, folder: Path, version: str, named: Sequence[Score], vectors: dict[str, tuple[str, Floats]]
) -> int:
    """How many of this version's scores it doesn't give when asked again; all of them when it fails its checks."""
    if not named:
        return 0
    try:
        model = load_version(registry.fetch(HARM, version, folder / "fetched" / HARM))
        model.verify()
    except ModelRefused:
        return len(named)
    again = model.score_vector(np.stack([vectors[score.prediction][1] for score in named])).score
    differs = np.abs(again - np.array([score.score for score in named])) > _TOLERANCE
    other = np.array([vectors[score.prediction][0] != version for score in named])
    return int(np.sum(differs | other))


def _memory(memory: Sequence[tuple[int, float]]) -> list[Measure]:
    """How resident memory grows with the number of requests, once it has settled."""
    settled = np.array(memory[int(len(memory) * _WARM_UP_SHARE) :])
    if len(settled) < _FEWEST:
        return []
    slope, lower = (value * _PER for value in slope_of(settled[:, 0], settled[:, 1]))
    unit, bar = f"MB / {_PER:,} requests", f"≤ 0, or slope < {_GROWTH_BAR_MB:g}"
    holds = lower <= 0 or slope < _GROWTH_BAR_MB
    return [
        Measure("soak: resident memory at the end", float(settled[-1, 1]), "MB"),
        Measure("soak: resident memory's slope", float(slope), unit),
        Measure("soak: resident memory's slope, 95% lower bound", float(lower), unit, bar, holds),
    ]


def slope_of(x: Floats, y: Floats) -> tuple[float, float]:
    """The least-squares slope of y over x, and its one-sided 95% lower bound.

    Neighbouring residuals are correlated, so whole blocks are drawn (moving block bootstrap, Künsch 1989).
    """
    n = len(x)
    centred = x - x.mean()
    weight = centred / max(float(centred @ centred), 1e-12)
    slope = float(weight @ y)
    residuals = y - y.mean() - slope * centred
    block = min(_BLOCK, n // 3)
    starts = np.random.default_rng(1).integers(0, n - block + 1, (_RESAMPLES, -(-n // block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :n]
    slopes = slope + residuals[drawn] @ weight
    return slope, float(np.quantile(slopes, 0.05))

"""The event log at growing sizes: appending, folding, starting again, frames for training, and scoring new events."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.homes import sqlite_settings
from benchmarks.own_process import run_json
from benchmarks.report import Measure, at_least, at_most, say
from benchmarks.scale import events
from benchmarks.scale.folding import PARTITIONS
from benchmarks.scale.growth import exponent
from benchmarks.serving.world import make_champions
from leads.settings import Settings

_SIZES, _FEWER = (125_000, 1_250_000, 12_500_000), (12_500, 40_000, 125_000)
# From this size on, fixed costs matter little: rates have a bar. One of many partitions is measured at this size.
_ENOUGH = 125_000
_NEW, _FEWER_NEW = 100_000, 10_000
_PAIRS, _FEWER_PAIRS = 10_000, 2_000
_MOST_MB, _MOST_START_S, _LEAST_RATE, _LEAST_SCORED_RATE, _MOST_EXPONENT = 1_024, 5.0, 12_000, 2_000, 0.1

FOLDING = "benchmarks.scale.folding"


def on_sqlite(quick: bool) -> list[Measure]:
    """Each cost at each size, in a home of its own."""
    found: list[Measure] = []
    by_size: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        published = _champions(Path(folder))
        for size in _FEWER if quick else _SIZES:
            with tempfile.TemporaryDirectory() as home:
                settings = sqlite_settings(Path(home))
                by_size[size] = _costs(settings, size, published, quick=quick)
            if size == _ENOUGH:
                by_size[size] |= _shared(size)
            found += _measures(size, by_size[size])
    return found + _growth(by_size, quick=quick)


def _champions(folder: Path) -> Path:
    """The published versions that score, made once for all sizes."""
    say("making champions from a small simulated platform")
    settings = sqlite_settings(folder / "platform")
    make_champions(settings, folder, folder / "world.log")
    return settings.published_dir


def _costs(settings: Settings, size: int, published: Path, *, quick: bool) -> dict[str, float]:
    """Everything that is measured on a log of one size."""
    what, new, pairs = f"{size:,} events", *((_FEWER_NEW, _FEWER_PAIRS) if quick else (_NEW, _PAIRS))
    appended = events.append(settings, events.history(size), what)
    say(f"{what}: folding")
    folded, again = run_json(settings, FOLDING, "fold"), run_json(settings, FOLDING, "fold")
    used = _bytes_in(settings.root)
    say(f"{what}: frames")
    frames = run_json(settings, "benchmarks.scale.frames", str(size), str(pairs))
    say(f"{what}: {new:,} more, folded and scored")
    shutil.copytree(published, settings.published_dir)
    events.append(settings, events.later(size, new), what)
    scored = run_json(settings, FOLDING, "score")
    return {
        "append_s": appended / size,
        "fold_s": folded["s"] / size,
        "fold_mb": folded["memory_mb"],
        "start_s": again["start_s"],
        "disk": used / size,
        "frame_s": frames["s"] / pairs,
        "join_s": frames["s"],
        "frames_mb": frames["memory_mb"],
        "score_s": scored["s"] / scored["events"],
        "score_mb": scored["memory_mb"],
        "scored": scored["scored"] / scored["events"],
        "logged": _bytes_in(settings.predictions_dir) / scored["scored"],
    }


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _shared(size: int) -> dict[str, float]:
    """What a partition does with every event, however many partitions there are."""
    with tempfile.TemporaryDirectory() as home:
        settings = sqlite_settings(Path(home))
        events.append(settings, events.history(size), f"{size:,} events, again")
        one = run_json(settings, FOLDING, "share", partitions=PARTITIONS)
    return {"share_s": one["s"] / size}


def _measures(size: int, costs: Mapping[str, float]) -> list[Measure]:
    name = f"{size:,} events"
    share = [
        Measure(f"{name}: folded, one of {PARTITIONS} partitions", 1 / costs["share_s"], "events/s")
        for _ in range("share_s" in costs)
    ]
    return [
        Measure(f"{name}: appended", 1 / costs["append_s"], "events/s"),
        _rate(f"{name}: folded", costs["fold_s"], size, _LEAST_RATE),
        *share,
        at_most(f"{name}: memory while folding", costs["fold_mb"], "MB", _MOST_MB),
        at_most(f"{name}: start again", costs["start_s"], "s", _MOST_START_S),
        Measure(f"{name}: disk", costs["disk"], "bytes/event"),
        Measure(f"{name}: point-in-time frames", 1 / costs["frame_s"], "rows/s"),
        Measure(f"{name}: time to join frames", costs["join_s"], "s"),
        Measure(f"{name}: memory while joining frames", costs["frames_mb"], "MB"),
        _rate(f"{name}: log → online with scoring", costs["score_s"], size, _LEAST_SCORED_RATE),
        Measure(f"{name}: subjects scored", costs["scored"], "subjects/event"),
        Measure(f"{name}: prediction log", costs["logged"], "bytes/subject scored"),
        at_most(f"{name}: memory while scoring", costs["score_mb"], "MB", _MOST_MB),
    ]


def _rate(name: str, seconds: float, size: int, bar: float) -> Measure:
    rate = 1 / seconds
    return at_least(name, rate, "events/s", bar) if size >= _ENOUGH else Measure(name, rate, "events/s")


def _growth(by_size: Mapping[int, Mapping[str, float]], *, quick: bool) -> list[Measure]:
    """The exponents, and how much memory grew last."""

    def grown(cost: str) -> float:
        return exponent({size: costs[cost] for size, costs in by_size.items()})

    memory = [costs["fold_mb"] for costs in by_size.values()]
    ratio = "event log: memory while folding, ratio of the last two sizes"
    return [
        at_most("event log: cost of folding an event, exponent", grown("fold_s"), "", _MOST_EXPONENT),
        # No bar: on a larger platform, fewer events of an hour are about the same subject, so more are scored.
        Measure("event log: cost of folding and scoring an event, exponent", grown("score_s"), ""),
        Measure("event log: disk per event, exponent", grown("disk"), ""),
        Measure("event log: time to join frames, exponent", grown("join_s"), ""),
        # After so few events, the caches in front of the state aren't full yet.
        Measure(ratio, memory[-1] / memory[-2], "") if quick else at_most(ratio, memory[-1] / memory[-2], "", 1.1),
    ]

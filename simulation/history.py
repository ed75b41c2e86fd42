"""Write a simulation to files: events per period, the truth about every subject, and a manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from leads.clock import DAY, Micros
from leads.errors import Conflict, InvalidInput
from leads.events import DecisionMade, ItemCreated, RecordedEvent, SubjectRef, encode
from simulation.config import SimulationConfig
from simulation.randomness import Streams
from simulation.texts import TextSource, Truth
from simulation.world import World

MANIFEST, TRUTH = "manifest.json", "truth.parquet"


class PeriodSummary(msgspec.Struct, frozen=True):
    """One period's file: events with `start` ≤ visible_at < `end`, counted by kind."""

    name: str
    file: str
    start: Micros
    end: Micros
    events: int
    kinds: dict[str, int]
    sha256: str


class HarmSummary(msgspec.Struct, frozen=True):
    """Number of subjects by truth, number with a human decision, and number of those decided to be violating."""

    violating: int
    not_violating: int
    unknown: int
    decided: int
    decided_violating: int


class SimulationManifest(msgspec.Struct, frozen=True):
    """What a simulation contains. `corpora`: names of the corpora whose texts it used; empty for `templates`."""

    seed: int
    config: SimulationConfig
    text_source: Literal["corpora", "templates"]
    corpora: tuple[str, ...]
    periods: tuple[PeriodSummary, ...]
    harms: dict[str, HarmSummary]
    truth_sha256: str


def simulate(
    config: SimulationConfig,
    folder: Path,
    *,
    corpora: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> SimulationManifest:
    """Simulate and write `events-<period>.jsonl`, `truth.parquet` and `manifest.json`; equal input gives equal bytes.

    Events and subjects that are not yet visible when the last period ends are not written.

    Args:
        folder: written completely or not at all; an earlier simulation in it is replaced.
        corpora: folder of the public corpora; None to generate texts from grammars.
        on_progress: called after each day with (days done, total days).

    Raises:
        Conflict: `folder` is in use by something else.
        InvalidInput: a corpus can't be read.
    """
    _check_replaceable(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        manifest = _HistoryWriter(config, partial, corpora, on_progress).run()
        (partial / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        for path in partial.iterdir():
            _sync(path)
        _replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def load_manifest(folder: Path) -> SimulationManifest:
    """Read the manifest of the simulation in a folder.

    Raises:
        InvalidInput: the folder contains no simulation, or its manifest can't be read.
    """
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=SimulationManifest)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(
            "This folder contains no readable simulation.", field=str(folder), remedy="Create one: leads simulate"
        ) from error


class _HistoryWriter:
    """Runs one simulation and writes its files."""

    def __init__(
        self, config: SimulationConfig, folder: Path, corpora: Path | None, on_progress: Callable[[int, int], None]
    ) -> None:
        self._config, self._folder, self._on_progress = config, folder, on_progress
        streams = Streams(config.seed)
        self._texts = TextSource(corpora, streams)
        self._world = World(config, self._texts, streams)
        self._first_seen: dict[SubjectRef, Micros] = {}
        self._decided: dict[tuple[SubjectRef, str], str] = {}
        self._days_done = 0

    def run(self) -> SimulationManifest:
        start, periods = self._config.start, []
        for number, period in enumerate(self._config.periods):
            end = start + period.days * DAY
            self._world.begin_period(number, period, start)
            name = f"events-{period.name}.jsonl"
            with (self._folder / name).open("wb") as file:
                kinds, digest = self._write_days(file, start, period.days)
            periods.append(PeriodSummary(period.name, name, start, end, sum(kinds.values()), kinds, digest))
            start = end
        truth = self._folder / TRUTH
        _write_truth(truth, self._world.truth, self._first_seen)
        return SimulationManifest(
            self._config.seed,
            self._config,
            self._texts.source,
            self._texts.corpora,
            tuple(periods),
            self._harms(),
            hashlib.sha256(truth.read_bytes()).hexdigest(),
        )

    def _write_days(self, file: BinaryIO, start: Micros, days: int) -> tuple[dict[str, int], str]:
        kinds: Counter[str] = Counter()
        digest = hashlib.sha256()
        for day in range(days):
            day_start = start + day * DAY
            self._world.simulate_day(self._days_done, day_start)
            events = self._world.timeline.take(day_start + DAY)
            lines = b"".join([encode(event) + b"\n" for event in events])
            file.write(lines)
            digest.update(lines)
            kinds.update(str(type(event.body).__struct_config__.tag) for event in events)
            self._track(events)
            self._days_done += 1
            self._on_progress(self._days_done, self._config.days)
        return dict(sorted(kinds.items())), digest.hexdigest()

    def _track(self, events: list[RecordedEvent]) -> None:
        for event in events:
            body = event.body
            if isinstance(body, ItemCreated):
                self._first_seen.setdefault(body.subject, event.visible_at)
            elif isinstance(body, DecisionMade) and body.verdict != "escalate":
                self._decided[body.subject, body.harm] = body.verdict

    def _harms(self) -> dict[str, HarmSummary]:
        counts: dict[str, Counter[str]] = {}
        for subject, truth in self._world.truth.items():
            if subject not in self._first_seen:
                continue
            for harm, violating in truth.items():
                verdict = self._decided.get((subject, harm))
                count = counts.setdefault(harm, Counter())
                count["unknown" if violating is None else "violating" if violating else "not_violating"] += 1
                count["decided"] += verdict is not None
                count["decided_violating"] += verdict == "violating"
        return {
            harm: HarmSummary(**{field: count[field] for field in HarmSummary.__struct_fields__})
            for harm, count in counts.items()
        }


def _write_truth(path: Path, truth: dict[SubjectRef, Truth], first_seen: dict[SubjectRef, Micros]) -> None:
    """Rows (type_id, subject_id, harm, violating or null, first_visible_at µs) for each subject that became visible."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        (subject.type_id, subject.id, harm, violating, first_seen[subject])
        for subject, by_harm in truth.items()
        if subject in first_seen
        for harm, violating in by_harm.items()
    ]
    types = (pa.string(), pa.string(), pa.string(), pa.bool_(), pa.int64())
    names = ("type_id", "subject_id", "harm", "violating", "first_visible_at")
    columns = [pa.array(column, type_) for column, type_ in zip(zip(*rows, strict=True), types, strict=True)]
    pq.write_table(pa.table(columns, names=names), path, compression="zstd")


def _check_replaceable(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).exists())):
        raise Conflict(
            "This path is in use and is not a simulation.",
            field=str(folder),
            remedy="Choose an empty or new folder.",
        )


def _replace(finished: Path, folder: Path) -> None:
    """Move the finished folder into place, replacing an earlier one."""
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        os.replace(finished, folder)
        shutil.rmtree(old)
    else:
        os.replace(finished, folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

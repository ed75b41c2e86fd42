"""A simulation as files: events by period, the truth about every subject, and a manifest of what is in them."""

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
from simulation.texts import Texts, Truth
from simulation.world import World

MANIFEST, TRUTH = "manifest.json", "truth.parquet"


class PeriodWritten(msgspec.Struct, frozen=True):
    """One period's file: events with `start` ≤ visible_at < `end`, counted by kind."""

    name: str
    file: str
    start: Micros
    end: Micros
    events: int
    kinds: dict[str, int]
    sha256: str


class HarmWritten(msgspec.Struct, frozen=True):
    """Subjects by their truth, and how many (subject, harm) pairs a human decided, as what."""

    violating: int
    not_violating: int
    unknown: int
    decided: int
    decided_violating: int


class Manifest(msgspec.Struct, frozen=True):
    """What a simulation is made of. `corpora` are those whose texts it used; none for `templates`."""

    seed: int
    config: SimulationConfig
    text_source: Literal["corpora", "templates"]
    corpora: tuple[str, ...]
    periods: tuple[PeriodWritten, ...]
    harms: dict[str, HarmWritten]
    truth_sha256: str


def simulate(
    config: SimulationConfig,
    folder: Path,
    *,
    corpora: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Manifest:
    """Simulate and write `events-<period>.jsonl`, `truth.parquet` and `manifest.json`; equal input gives equal bytes.

    Events that aren't visible when the last period ends are not written, nor are subjects nobody has seen by then.

    Args:
        folder: appears whole or not at all; an earlier simulation there is replaced.
        corpora: folder of the public corpora; None: text from grammars.
        on_progress: called after each day with (days done, days in all).

    Raises:
        Conflict: `folder` holds something that is no simulation.
        InvalidInput: a corpus can't be read.
    """
    _refuse_other_content(folder)
    draft = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        manifest = _Writing(config, draft, corpora, on_progress).run()
        (draft / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        for path in draft.iterdir():
            _sync(path)
        _replace(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def load_manifest(folder: Path) -> Manifest:
    """Raises InvalidInput when the folder holds no simulation."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInput("holds no simulation.", field=str(folder), remedy="Make one: leads simulate") from error


class _Writing:
    """One simulation on its way to files."""

    def __init__(
        self, config: SimulationConfig, folder: Path, corpora: Path | None, on_progress: Callable[[int, int], None]
    ) -> None:
        self._config, self._folder, self._on_progress = config, folder, on_progress
        streams = Streams(config.seed)
        self._texts = Texts(corpora, streams)
        self._world = World(config, self._texts, streams)
        self._first_seen: dict[SubjectRef, Micros] = {}
        self._decided: dict[tuple[SubjectRef, str], str] = {}
        self._days_done = 0

    def run(self) -> Manifest:
        start, periods = self._config.start, []
        for number, period in enumerate(self._config.periods):
            end = start + period.days * DAY
            self._world.begin(number, period, start)
            name = f"events-{period.name}.jsonl"
            with (self._folder / name).open("wb") as file:
                kinds, digest = self._write_days(file, start, period.days)
            periods.append(PeriodWritten(period.name, name, start, end, sum(kinds.values()), kinds, digest))
            start = end
        truth = self._folder / TRUTH
        _write_truth(truth, self._world.truth, self._first_seen)
        return Manifest(
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
            self._world.day(self._days_done, day_start)
            taken = self._world.timeline.take(day_start + DAY)
            lines = b"".join([encode(event) + b"\n" for event in taken])
            file.write(lines)
            digest.update(lines)
            kinds.update(str(type(event.body).__struct_config__.tag) for event in taken)
            self._note(taken)
            self._days_done += 1
            self._on_progress(self._days_done, self._config.days)
        return dict(sorted(kinds.items())), digest.hexdigest()

    def _note(self, taken: list[RecordedEvent]) -> None:
        for event in taken:
            body = event.body
            if isinstance(body, ItemCreated):
                self._first_seen.setdefault(body.subject, event.visible_at)
            elif isinstance(body, DecisionMade) and body.verdict != "escalate":
                self._decided[body.subject, body.harm] = body.verdict

    def _harms(self) -> dict[str, HarmWritten]:
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
            harm: HarmWritten(**{field: count[field] for field in HarmWritten.__struct_fields__})
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


def _refuse_other_content(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / MANIFEST).exists())):
        raise Conflict("holds something else.", field=str(folder), remedy="Name an empty or new folder.")


def _replace(draft: Path, folder: Path) -> None:
    """Put the finished folder in place of an earlier one."""
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        os.replace(draft, folder)
        shutil.rmtree(old)
    else:
        os.replace(draft, folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Ingests files of events: JSON Lines, one event per line (`leads.api.event_lines`)."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy.engine import Connection, Engine

from leads import clock
from leads.api.event_lines import Line, parse_line
from leads.clock import Clock
from leads.db import event_log
from leads.db.engine import reading
from leads.db.event_ids import Sent, check_sender, taken_in, taken_message
from leads.db.event_log import AppendedHistory, Moved
from leads.errors import MAX_FAULTS, Conflict, InvalidInput, LeadsError, NotFound
from leads.events import RecordedEvent
from leads_client.errors import Fault

DEFAULT_SENDER = "file"
_BATCH = 5_000
_MAX_LINE = 1_000_000
_BOM = b"\xef\xbb\xbf"
# How files begin that are not JSON Lines in UTF-8, and what to do with them.
_OTHER_FORMATS = {
    b"\xff\xfe": ("The file is encoded as UTF-16.", "Save it as UTF-8."),
    b"\xfe\xff": ("The file is encoded as UTF-16.", "Save it as UTF-8."),
    b"\x1f\x8b": ("The file is compressed.", "Decompress it first: gunzip FILE"),
}
_API_NAMES = {"/occurred_at": "/occurredAt", "/visible_at": "/visibleAt"}

OnProgress = Callable[[int, int], None]
# A line's number and content.
_Numbered = tuple[int, Line]


class Ingested(NamedTuple):
    """The number of new events, of known ids, the log's last offset, and which recorded times were moved."""

    accepted: int
    duplicates: int
    offset: int
    moved: Moved


def ingest(
    engine: Engine,
    path: Path,
    *,
    sender: str = DEFAULT_SENDER,
    on_progress: OnProgress | None = None,
    clock_: Clock = clock.now,
) -> Ingested:
    """Append a file's events. Repeating the call, also after a crash, skips events that were appended already.

    Events that say when they became visible are a recorded history and keep that time where nothing was served after
    it; otherwise they become visible now. The whole file is checked before the first event is appended.

    Args:
        sender: whose event ids these are. Another sender may use the same ids for other events.

    Raises:
        NotFound: the file does not exist.
        InvalidInput: lines are invalid; names up to 20 of them. Nothing was appended.
        Conflict: ids are already used for other events of this sender; names up to 20 lines. Nothing was appended.
    """
    check_sender(sender)
    if not path.is_file():
        raise NotFound(
            f"{path} is not a file.",
            field="FILE",
            remedy="Pass a JSON Lines file of events; `leads simulate` creates one.",
        )
    total = _Check(engine, sender, path, clock_).run()
    accepted = duplicates = offset = done = 0
    moved = Moved()
    for batch in _batches(_parsed(path)):
        try:
            with engine.begin() as connection:
                result = _append(connection, sender, batch, clock_)
        except (Conflict, InvalidInput) as error:
            # What was right when the file was checked: another process has used an id since, or the file has changed.
            raise _at_lines(error, path, batch, done) from error
        accepted, duplicates, offset = accepted + result.accepted, duplicates + result.duplicates, result.head.offset
        moved = Moved(moved.served + result.moved.served, moved.order + result.moved.order)
        done += len(batch)
        if on_progress:
            on_progress(done, total)
    return Ingested(accepted, duplicates, offset, moved)


def _append(connection: Connection, sender: str, batch: Sequence[_Numbered], clock_: Clock) -> AppendedHistory:
    if batch[0][1].visible_at is None:
        live = event_log.append(connection, sender, [line.event for _, line in batch], clock_=clock_)
        return AppendedHistory(*live, Moved())
    history = [
        RecordedEvent(line.event.id, line.event.occurred_at, line.visible_at, line.event.body)
        for _, line in batch
        if line.visible_at is not None
    ]
    return event_log.append_recorded(connection, sender, history, clock_=clock_)


def _at_lines(error: Conflict | InvalidInput, path: Path, batch: Sequence[_Numbered], done: int) -> LeadsError:
    faults = []
    for fault in error.faults:
        _, place, field = fault.field.split("/")
        faults.append(fault._replace(field=f"{path}:{batch[int(place)][0]} /{field}"))
    remedy = f"Events appended before it: {done:,}. Correct the file and ingest it again; known events are skipped."
    return type(error)(error.message, field=faults[0].field, remedy=remedy, faults=faults)


class _Check:
    """Reads the whole file and collects what is wrong with its lines, without appending anything."""

    def __init__(self, engine: Engine, sender: str, path: Path, clock_: Clock) -> None:
        self._engine = engine
        self._sender = sender
        self._path = path
        self._now = clock_()
        self._recorded: bool | None = None
        self._invalid: list[InvalidInput] = []
        self._taken: dict[int, str] = {}
        self._count = 0
        # A hash of each event's id and one of its content, and its line's number: 24 bytes for each event.
        self._ids, self._contents, self._numbers = array("Q"), array("Q"), array("Q")

    def run(self) -> int:
        """The number of events.

        Raises:
            InvalidInput, Conflict: as `ingest`.
        """
        _check_format(self._path)
        for batch in _batches(self._valid()):
            self._check_ids(batch)
        self._check_repeated()
        if self._invalid:
            raise self._together(InvalidInput, [fault for error in self._invalid for fault in error.faults])
        if self._taken:
            faults = [Fault(f"{self._path}:{n}", taken_message(id_)) for n, id_ in sorted(self._taken.items())]
            self._count = len(faults)
            raise self._together(Conflict, faults[:MAX_FAULTS])
        if not self._ids:
            raise InvalidInput(
                "The file contains no events.", field=str(self._path), remedy="Use JSON Lines, one event per line."
            )
        return len(self._ids)

    def _valid(self) -> Iterator[_Numbered]:
        """The lines that are valid by themselves; the others are noted."""
        for number, raw in _lines(self._path):
            try:
                line = _parse(raw)
                self._check_times(line)
            except InvalidInput as error:
                self._note(number, error)
            else:
                yield number, line

    def _check_times(self, line: Line) -> None:
        recorded = line.visible_at is not None
        if self._recorded is None:
            self._recorded = recorded
        name = "visibleAt" if line.of_api else "visible_at"
        if recorded is not self._recorded:
            raise InvalidInput(
                f"The line has {'a' if recorded else 'no'} {name}, unlike the first event of the file.",
                field=f"/{name}",
                remedy=f"Give every line of the file a {name}, or none.",
            )
        event = line.event
        try:
            if line.visible_at is None:
                event_log.check_live(event, self._now)
            else:
                record = RecordedEvent(event.id, event.occurred_at, line.visible_at, event.body)
                event_log.check_recorded(record, self._now)
        except InvalidInput as error:
            field = _API_NAMES.get(error.field or "", error.field) if line.of_api else error.field
            raise InvalidInput(error.message, field=field, remedy=error.remedy) from error

    def _note(self, number: int, error: InvalidInput) -> None:
        self._count += 1
        if len(self._invalid) < MAX_FAULTS:
            place = f"{self._path}:{number}{'' if error.field is None else ' ' + error.field}"
            self._invalid.append(InvalidInput(error.message, field=place, remedy=error.remedy))

    def _check_ids(self, batch: Sequence[_Numbered]) -> None:
        sent = [Sent(line.event) for _, line in batch]
        with reading(self._engine) as connection:
            taken = taken_in(connection, self._sender, sent)
        self._taken.update((batch[i][0], sent[i].event.id) for i in taken)
        for (number, _), one in zip(batch, sent, strict=True):
            self._ids.append(_number(blake2b(one.event.id.encode(), digest_size=8).digest()))
            self._contents.append(_number(one.hash[:8]))
            self._numbers.append(number)

    def _check_repeated(self) -> None:
        """Note lines whose id an earlier line of the file has for another event."""
        ids, contents = np.frombuffer(self._ids, np.uint64), np.frombuffer(self._contents, np.uint64)
        order = np.argsort(ids, kind="stable")
        starts = np.flatnonzero(np.concatenate(([True], np.diff(ids[order]) != 0))) if len(ids) else order
        first = np.repeat(order[starts], np.diff([*starts, len(ids)]))
        differ = np.sort(order[contents[order] != contents[first]])
        if len(differ):
            lines = {int(np.frombuffer(self._numbers, np.uint64)[i]) for i in differ}
            found = ((number, line) for number, line in _parsed(self._path) if number in lines)
            self._taken.update((number, line.event.id) for number, line in found)

    def _together(self, kind: type[InvalidInput | Conflict], faults: Sequence[Fault]) -> LeadsError:
        """One error for all that is wrong; it says what the first fault says, and how many there are."""
        message = faults[0].message
        if self._count > 1:
            named = f"; the first {len(faults)} are listed" if self._count > len(faults) else ""
            message += f" In all, {self._count:,} lines are wrong{named}."
        if kind is Conflict:
            remedy = "Nothing was appended. If the file comes from another system, name it with --sender."
        else:
            remedy = f"{self._invalid[0].remedy or 'Correct the line.'} Nothing was appended."
        return kind(message, field=faults[0].field, remedy=remedy, faults=faults)


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")


def _check_format(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(2)
    if start in _OTHER_FORMATS:
        message, remedy = _OTHER_FORMATS[start]
        raise InvalidInput(message, field=str(path), remedy=remedy)


def _parse(raw: bytes | None) -> Line:
    if raw is None:
        raise InvalidInput(f"The line is longer than {_MAX_LINE:,} bytes.")
    return parse_line(raw)


def _parsed(path: Path) -> Iterator[_Numbered]:
    return ((number, _parse(raw)) for number, raw in _lines(path))


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not empty, with their numbers; None for one that is too long."""
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(_MAX_LINE + 1), b""), start=1):
            line: bytes | None = raw.removeprefix(_BOM) if number == 1 else raw
            if len(raw) > _MAX_LINE:
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(_MAX_LINE)
                line = None
            if line is None or line.strip():
                yield number, line


def _batches(lines: Iterator[_Numbered]) -> Iterator[list[_Numbered]]:
    while batch := list(islice(lines, _BATCH)):
        yield batch

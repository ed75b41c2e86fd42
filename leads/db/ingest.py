"""Ingests files of events: JSON Lines, one event per line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Clock
from leads.db import event_log
from leads.db.engine import reading
from leads.db.event_ids import Sent, check_sender, unknown_among
from leads.errors import Conflict, InvalidInput, NotFound
from leads.events import Event, RecordedEvent, decode_event, decode_recorded

DEFAULT_SENDER = "file"
_BATCH = 5_000
_MAX_LINE = 1_000_000

OnProgress = Callable[[int, int], None]


class Ingested(NamedTuple):
    """The number of new events, the number of known ids, and the last offset of the log."""

    accepted: int
    duplicates: int
    offset: int


def ingest(
    engine: Engine,
    path: Path,
    *,
    sender: str = DEFAULT_SENDER,
    on_progress: OnProgress | None = None,
    clock_: Clock = clock.now,
) -> Ingested:
    """Append a file's events. Repeating the call, also after a crash, skips events that were appended already.

    Events with `visible_at` are a recorded history and keep it; without it, events become visible now. The whole file
    is checked before the first event is appended.

    Args:
        sender: whose event ids these are. Another sender may use the same ids for other events.

    Raises:
        NotFound: the file does not exist.
        InvalidInput: names the line and the field that is wrong; nothing was appended.
        Conflict: an id is already used for another event of this sender; names the line. Nothing was appended.
    """
    check_sender(sender)
    if not path.is_file():
        raise NotFound(
            f"{path} is not a file.",
            field="FILE",
            remedy="Pass a JSON Lines file of events; `leads simulate` creates one.",
        )
    total, recorded = _check(path, clock_)
    _check_ids(engine, sender, path, recorded)
    accepted = duplicates = offset = done = 0
    append: Callable[..., event_log.Appended] = event_log.append_recorded if recorded else event_log.append
    for batch in _batches(path, recorded):
        with engine.begin() as connection:
            result = append(connection, sender, [event for _, event in batch], clock_=clock_)
        accepted += result.accepted
        duplicates += result.duplicates
        offset = result.head.offset
        done += len(batch)
        if on_progress:
            on_progress(done, total)
    return Ingested(accepted, duplicates, offset)


def _check(path: Path, clock_: Clock) -> tuple[int, bool]:
    """The number of events, and whether they are a recorded history."""
    total, recorded = 0, False
    for number, line in _lines(path):
        try:
            if not total:
                recorded = _is_recorded(line)
            event = decode_recorded(line) if recorded else decode_event(line)
            if isinstance(event, RecordedEvent):
                event_log.check_recorded(event, clock_())
            else:
                event_log.check_live(event, clock_())
        except InvalidInput as error:
            raise InvalidInput(
                error.message,
                field=f"{path}:{number}{'' if error.field is None else ' ' + error.field}",
                remedy=error.remedy or "Correct this line; nothing was appended.",
            ) from error
        total += 1
    if not total:
        raise InvalidInput(
            "The file contains no events.", field=str(path), remedy="Use JSON Lines, one event per line."
        )
    return total, recorded


def _check_ids(engine: Engine, sender: str, path: Path, recorded: bool) -> None:
    """Raises Conflict when an id of the file is known for another event, in the log or earlier in the file."""
    for batch in _batches(path, recorded):
        sent = [Sent(event.event if isinstance(event, RecordedEvent) else event) for _, event in batch]
        try:
            with reading(engine) as connection:
                unknown_among(connection, sender, sent)
        except Conflict as error:
            places = [batch[int(fault.field.split("/")[1])][0] for fault in error.faults]
            faults = [fault._replace(field=f"{path}:{line}") for fault, line in zip(error.faults, places, strict=True)]
            remedy = "Nothing was appended. If the file comes from another system, name it with --sender."
            raise Conflict(error.message, field=faults[0].field, remedy=remedy, faults=faults) from error


def _is_recorded(line: bytes) -> bool:
    try:
        keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Not a JSON object: {error}.") from error
    return "visible_at" in keys


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE + 1), b""), start=1):
            if len(line) > _MAX_LINE:
                raise InvalidInput(f"The line is longer than {_MAX_LINE:,} bytes.", field=f"{path}:{number}")
            if line.strip():
                yield number, line


def _batches(path: Path, recorded: bool) -> Iterator[list[tuple[int, Event | RecordedEvent]]]:
    """The file's events with their line numbers."""
    decode: Callable[[bytes], Event | RecordedEvent] = decode_recorded if recorded else decode_event
    batch: list[tuple[int, Event | RecordedEvent]] = []
    for number, line in _lines(path):
        batch.append((number, decode(line)))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch

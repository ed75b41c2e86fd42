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
from leads.api import event_files
from leads.api.declared import Declared
from leads.api.event_entries import check_body
from leads.api.event_files import Numbered
from leads.api.event_lines import Line
from leads.clock import Clock
from leads.db import event_log
from leads.db.engine import reading
from leads.db.event_ids import Sent, check_sender, taken_in, taken_message
from leads.db.event_log import AppendedHistory, Moved
from leads.errors import MAX_FAULTS, Conflict, InvalidInput, NotFound, count_of_wrong, moved
from leads.events import RecordedEvent
from leads.policies import Policies
from leads_client.errors import Fault

DEFAULT_SENDER = "file"
_BATCH = 5_000
_RETIRED_HARM = (
    "Correct the harm. To load events about a harm that policies.yaml no longer has, set LEADS_POLICIES for this "
    "command to a file that still has it."
)

OnProgress = Callable[[int, int], None]


class Ingested(NamedTuple):
    """The number of new events, of known ids, the log's last offset, and which recorded times were moved."""

    accepted: int
    duplicates: int
    offset: int
    moved: Moved


def ingest(
    engine: Engine,
    path: Path,
    policies: Policies,
    declared: Declared,
    *,
    sender: str = DEFAULT_SENDER,
    on_progress: OnProgress | None = None,
    clock_: Clock = clock.now,
) -> Ingested:
    """Append a file's events. Repeating the call, also after a crash, skips events that were appended already.

    Events that say when they became visible are a recorded history and keep that time where nothing was served after
    it; otherwise they become visible now. The whole file is checked before the first event is appended.

    Args:
        policies: the harms that events may be about.
        declared: reads what items and events say.
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
            remedy="Pass a JSON Lines file of events. `leads simulate` creates one: simulation/events-history.jsonl in "
            "LEADS_HOME.",
        )
    total = _Check(engine, path, (policies, declared), sender, clock_).run()
    accepted = duplicates = offset = done = 0
    moved = Moved()
    try:
        for batch in _batches(event_files.parsed(path, declared)):
            with engine.begin() as connection:
                result = _append(connection, sender, path, batch, clock_)
            accepted, duplicates = accepted + result.accepted, duplicates + result.duplicates
            offset = result.head.offset
            moved = Moved(moved.served + result.moved.served, moved.order + result.moved.order)
            done += len(batch)
            if on_progress:
                on_progress(done, total)
    except (Conflict, InvalidInput) as error:
        # What was right when the file was checked: another process has used an id since, or the file has changed.
        remedy = f"Events appended before it: {done:,}. Correct the file and ingest it again; known events are skipped."
        raise type(error)(error.message, field=error.field, remedy=remedy, faults=error.faults) from error
    return Ingested(accepted, duplicates, offset, moved)


def _append(
    connection: Connection, sender: str, path: Path, batch: Sequence[Numbered], clock_: Clock
) -> AppendedHistory:
    """Raises InvalidInput, Conflict: with the places of the lines in the file."""
    try:
        if batch[0][1].visible_at is None:
            live = event_log.append(connection, sender, [line.event for _, line in batch], clock_=clock_)
            return AppendedHistory(*live, Moved())
        history = [
            RecordedEvent(line.event.id, line.event.occurred_at, line.visible_at, line.event.body)
            for _, line in batch
            if line.visible_at is not None
        ]
        return event_log.append_recorded(connection, sender, history, clock_=clock_)
    except (Conflict, InvalidInput) as error:
        faults = []
        for fault in error.faults:
            _, index, field = fault.field.split("/")
            number, line = batch[int(index)]
            faults.append(fault._replace(field=event_files.place(path, number, line.pointer(f"/{field}"))))
        raise type(error)(error.message, field=faults[0].field, faults=faults) from error


class _Check:
    """Reads the whole file and collects what is wrong with its lines, without appending anything."""

    def __init__(
        self, engine: Engine, path: Path, rules: tuple[Policies, Declared], sender: str, clock_: Clock
    ) -> None:
        self._engine = engine
        self._path = path
        self._policies, self._declared = rules
        self._sender = sender
        self._now = clock_()
        self._recorded: bool | None = None
        self._invalid: dict[int, InvalidInput] = {}
        self._invalid_count = 0
        self._taken: dict[int, Fault] = {}
        # A hash of each event's id and one of its content, and its line's number: 24 bytes for each event.
        self._ids, self._contents, self._numbers = array("Q"), array("Q"), array("Q")

    def run(self) -> int:
        """The number of events.

        Raises:
            InvalidInput, Conflict: as `ingest`.
        """
        event_files.check_format(self._path)
        for batch in _batches(self._valid()):
            self._check_ids(batch)
        self._check_repeated()
        if self._invalid or self._taken:
            raise self._together()
        if not self._ids:
            raise InvalidInput(
                "The file contains no events.", field=str(self._path), remedy="Use JSON Lines, one event per line."
            )
        return len(self._ids)

    def _valid(self) -> Iterator[Numbered]:
        """The lines that are valid by themselves; the others are noted."""
        for number, raw in event_files.lines(self._path):
            try:
                line = event_files.parse(raw, self._declared)
                self._check_line(line)
            except InvalidInput as error:
                self._note(number, error)
            else:
                yield number, line

    def _check_line(self, line: Line) -> None:
        try:
            self._check_times(line)
            check_body(line.event.body, self._policies)
        except InvalidInput as error:
            raise moved(error, line.pointer) from error
        except NotFound as error:
            # The known harms go with each line, and not only with the first one's remedy.
            message = f"{error.message} {error.remedy}"
            raise InvalidInput(message, field=line.pointer(error.field or ""), remedy=_RETIRED_HARM) from error

    def _check_times(self, line: Line) -> None:
        event, recorded = line.event, line.visible_at is not None
        if self._recorded is None:
            self._recorded = recorded
        if recorded is not self._recorded:
            name = line.pointer("/visible_at")[1:]
            raise InvalidInput(
                f"The line has {'a' if recorded else 'no'} {name}, unlike the first event of the file.",
                field="/visible_at",
                remedy=f"Give every line of the file a {name}, or none.",
            )
        if line.visible_at is None:
            event_log.check_live(event, self._now)
        else:
            record = RecordedEvent(event.id, event.occurred_at, line.visible_at, event.body)
            event_log.check_recorded(record, self._now)

    def _note(self, number: int, error: InvalidInput) -> None:
        self._invalid_count += 1
        if len(self._invalid) < MAX_FAULTS:
            self._invalid[number] = error

    def _note_taken(self, number: int, line: Line) -> None:
        id_ = line.event.id
        self._taken[number] = Fault(event_files.place(self._path, number, line.pointer("/id")), taken_message(id_))

    def _check_ids(self, batch: Sequence[Numbered]) -> None:
        sent = [Sent(line.event) for _, line in batch]
        with reading(self._engine) as connection:
            taken = taken_in(connection, self._sender, sent)
        for i in taken:
            self._note_taken(*batch[i])
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
            for number, line in event_files.parsed(self._path, self._declared, lines):
                self._note_taken(number, line)

    def _together(self) -> InvalidInput | Conflict:
        """One error for all that is wrong; it says what the first fault says, and how many there are."""
        # No line is in both: only the ids of valid lines are checked.
        faults = {number: self._faults(number, error) for number, error in self._invalid.items()}
        faults |= {number: [fault] for number, fault in self._taken.items()}
        listed = [fault for number in sorted(faults) for fault in faults[number]][:MAX_FAULTS]
        message = listed[0].message + count_of_wrong(self._invalid_count + len(self._taken), "lines")
        first = self._invalid.get(min(faults))
        if first is None:
            remedy = "Nothing was appended. If the file comes from another system, name it with --sender."
        else:
            remedy = f"{first.remedy or 'Correct the line.'} Nothing was appended."
        kind = InvalidInput if self._invalid else Conflict
        return kind(message, field=listed[0].field, remedy=remedy, faults=listed)

    def _faults(self, number: int, error: InvalidInput) -> list[Fault]:
        """What is wrong with a line."""
        return [Fault(event_files.place(self._path, number, field), said) for field, said in error.faults] or [
            Fault(event_files.place(self._path, number, None), error.message)
        ]


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")


def _batches(lines: Iterator[Numbered]) -> Iterator[list[Numbered]]:
    while batch := list(islice(lines, _BATCH)):
        yield batch

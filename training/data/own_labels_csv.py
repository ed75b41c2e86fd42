"""Reads labelled texts from CSV as people and tools write it. Errors name the line and never quote what it says."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from leads.clock import Micros, from_datetime
from leads.errors import InvalidInput, NotFound
from training.data.labelled_rows import present

DELIMITERS = (",", ";", "\t")
VERDICTS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "violating"), True),
    **dict.fromkeys(("0", "0.0", "false", "no", "not_violating"), False),
}
HEAVIEST = 1e6
_MEANT = "Write 1 or 0, true or false, yes or no, violating or not_violating; leave it empty where there is no verdict."
# The csv module's own limit of 131,072 characters is less than some texts have.
_LONGEST_FIELD = 10_000_000
_LONGEST_NAME = 60
_EVERY = 5_000
_DATE, _SECONDS = re.compile(r"\d{8}"), re.compile(r"-?\d+(\.\d*)?")
_NO_NAME = re.compile(r"[\d.]*|true|false|yes|no", re.IGNORECASE)
_LAST_SECOND = 253_402_300_799

OnProgress = Callable[[int, int], None]
Skipped = Literal["no text", "no label"]


class Columns(NamedTuple):
    """Names of a file's columns.

    Args:
        id: kept beside the row, to find it again where it came from; rows may share one.
        time: RFC 3339 (UTC where it has no offset), a date, or seconds since 1970; the latest rows measure.
        author: who made the text, so that one maker's texts stay in one fold.
        weight: how much the label counts in fitting, above 0; 1 where it is empty.
        target: whom the text is about; measured apart.
    """

    text: str
    label: str
    id: str | None = None
    time: str | None = None
    author: str | None = None
    weight: str | None = None
    target: str | None = None


class Labelled(NamedTuple):
    """One row of a file that says something; `time` in µs, None where it is empty."""

    text: str
    violating: bool
    time: Micros | None
    weight: float
    author: str | None
    target: str | None
    id: str | None


def read(
    path: Path, columns: Columns, *, delimiter: str | None = None, on_progress: OnProgress | None = None
) -> Iterator[Labelled | Skipped]:
    """The rows one by one, or why one is skipped.

    Args:
        delimiter: comma, semicolon or tab; None: the one with which the first line names the columns.
        on_progress: called with (bytes read, bytes).

    Raises:
        NotFound: there is no such file.
        InvalidInput: names file, line and column of what can't be read.
    """
    if delimiter is not None and delimiter not in DELIMITERS:
        raise InvalidInput("That is no delimiter.", field="delimiter", remedy="Give a comma, a semicolon or a tab.")
    with _long_fields():
        headers = {each: _header(path, each) for each in DELIMITERS if delimiter in (None, each)}
        best = max(headers, key=lambda each: (len(set(columns) & set(headers[each])), len(headers[each])))
        at = _places(path, columns, headers[best])
        width = len(headers[best])
        for line, fields in _records(path, best, on_progress, skip=1):
            if len(fields) != width:
                raise InvalidInput(
                    f"The row has {len(fields)} fields, the first line names {width} columns.",
                    field=f"{path}:{line}",
                    remedy="Put fields that hold the delimiter into quotes.",
                )
            yield _parse({role: fields[i] for role, i in at.items()}, columns, f"{path}:{line}")


@contextmanager
def _long_fields() -> Iterator[None]:
    limit = csv.field_size_limit(_LONGEST_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _lines(path: Path, on_progress: OnProgress | None) -> Iterator[str]:
    """Decoded one by one, so that an error knows its line."""
    line = 1
    try:
        total, done = path.stat().st_size, 0
        with path.open("rb") as file:
            for line, raw in enumerate(file, start=1):
                done += len(raw)
                yield (raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw).decode("utf-8")
                if on_progress and (line % _EVERY == 0 or done == total):
                    on_progress(done, total)
    except FileNotFoundError as error:
        raise NotFound("There is no such file.", field=str(path), remedy="Name a CSV file.") from error
    except OSError as error:
        raise InvalidInput(
            f"It can't be read: {error.strerror}.", field=str(path), remedy="Name a CSV file."
        ) from error
    except UnicodeDecodeError as error:
        # Without its cause, which holds the line.
        raise InvalidInput(
            f"Byte {error.start + 1} of the line is not UTF-8.",
            field=f"{path}:{line}",
            remedy="Save the file as UTF-8, for example: iconv -f CP1252 -t UTF-8 FILE > NEW",
        ) from None


def _records(
    path: Path, delimiter: str, on_progress: OnProgress | None = None, *, skip: int = 0, strict: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line it begins on. Strict: a quote that is never closed would swallow the rest."""
    reader, line = csv.reader(_lines(path, on_progress), delimiter=delimiter, strict=strict), 1
    try:
        for record in reader:
            if record and skip:
                skip -= 1
            elif record:
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidInput(
            f"The row that begins here is not CSV: {error}.",
            field=f"{path}:{line}",
            remedy="Put fields that hold quotes or line ends into quotes, and double the quotes in them.",
        ) from None


def _header(path: Path, delimiter: str) -> list[str]:
    # Not strict: read by another delimiter than its own, a line's quotes stand anywhere.
    return next(([name.strip() for name in record] for _, record in _records(path, delimiter, strict=False)), [])


def _places(path: Path, columns: Columns, header: list[str]) -> dict[str, int]:
    """Where each role's column stands."""
    if columns.text == columns.label:
        raise InvalidInput("Text and label can't be one column.", field="label", remedy="Name the label's own column.")
    # A first line that is a row already must not get into a message.
    names = header and not any(_NO_NAME.fullmatch(name) or len(name) > _LONGEST_NAME for name in header)
    at = {}
    for role, name in columns._asdict().items():
        if name is not None and header.count(name) != 1:
            raise InvalidInput(
                f"The first line names the column {name!r} {header.count(name) or 'nowhere'}"
                f"{' times' if name in header else ''}.",
                field=f"{path}:1",
                remedy=f"There are: {', '.join(header)}." if names else "Give the file a first line of column names.",
            )
        if name is not None:
            at[role] = header.index(name)
    return at


def _parse(fields: Mapping[str, str], columns: Columns, where: str) -> Labelled | Skipped:
    text = present(fields["text"])
    if text is None:
        return "no text"
    fields = {role: value.strip() for role, value in fields.items()}
    if not fields["label"]:
        return "no label"
    return Labelled(
        text,
        _verdict(fields["label"], where, columns.label),
        _time(fields.get("time"), where, columns.time),
        _weight(fields.get("weight"), where, columns.weight),
        fields.get("author") or None,
        fields.get("target") or None,
        fields.get("id") or None,
    )


def _verdict(value: str, where: str, column: str) -> bool:
    verdict = VERDICTS.get(value.lower())
    if verdict is not None:
        return verdict
    share = _number(value)
    if share is not None and 0 <= share <= 1:
        raise InvalidInput(
            f"Column {column!r} holds a number between 0 and 1, which is a score and no verdict.",
            field=where,
            remedy="Make verdicts of scores first, by a cut-off that you trust: 1 from there up, 0 below.",
        )
    raise InvalidInput(f"What stands in column {column!r} is no verdict.", field=where, remedy=_MEANT)


def _weight(value: str | None, where: str, column: str | None) -> float:
    if not value:
        return 1.0
    weight = _number(value)
    if weight is None or not 0 < weight <= HEAVIEST:
        raise InvalidInput(
            f"What stands in column {column!r} is no weight.",
            field=where,
            remedy=f"Write a number above 0, at most {HEAVIEST:,.0f}; leave it empty for 1.",
        )
    return weight


def _time(value: str | None, where: str, column: str | None) -> Micros | None:
    """Only the order is used, so that a time without offset may count as UTC."""
    if not value:
        return None
    try:
        if _SECONDS.fullmatch(value) and not _DATE.fullmatch(value):
            seconds = float(value)
            if not 0 <= seconds <= _LAST_SECOND:
                raise ValueError("no seconds since 1970")
            return round(seconds * 1_000_000)
        at = datetime.fromisoformat(value)
        return from_datetime(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"What stands in column {column!r} is no time.",
            field=where,
            remedy="Write 2026-01-31T12:00:00Z, 2026-01-31, or seconds (not milliseconds) since 1970.",
        ) from None


def _number(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None

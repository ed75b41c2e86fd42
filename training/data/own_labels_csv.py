"""Reads labelled texts from CSV files as people and tools write them. Errors name the line but never quote a text."""

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
from leads.text import present

DELIMITERS = (",", ";", "\t")
VERDICTS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "violating"), True),
    **dict.fromkeys(("0", "0.0", "false", "no", "not_violating"), False),
}
MAX_WEIGHT = 1e6
_VERDICT_REMEDY = (
    "Use 1 or 0, true or false, yes or no, violating or not_violating; leave it empty where there is no verdict."
)
# The csv module's default limit of 131,072 characters is shorter than some texts.
_MAX_FIELD = 10_000_000
_MAX_NAME = 60
_PROGRESS_LINES = 5_000
_DATE, _SECONDS = re.compile(r"\d{8}"), re.compile(r"-?\d+(\.\d*)?")
_NOT_A_NAME = re.compile(r"[\d.]*|true|false|yes|no", re.IGNORECASE)
_LAST_SECOND = 253_402_300_799

# Called with (bytes read, bytes in all).
OnBytes = Callable[[int, int], None]
Skipped = Literal["no text", "no label"]


class Columns(NamedTuple):
    """Names of a file's columns.

    Args:
        text: the texts.
        label: the verdicts.
        id: kept with the row, to find it again in its source; need not be unique.
        time: ISO 8601 (UTC if it has no offset), a date, or seconds since 1970. The latest fifth is held out.
        author: who wrote the text; all texts of an author are in the same fold.
        weight: weight of the label in fitting, above 0; 1 if empty.
        target: the group that the text is about; each group is measured separately.
    """

    text: str
    label: str
    id: str | None = None
    time: str | None = None
    author: str | None = None
    weight: str | None = None
    target: str | None = None


class LabelledText(NamedTuple):
    """One row of a file that has text and label. `time` is in µs, None if it is empty."""

    text: str
    violating: bool
    time: Micros | None
    weight: float
    author: str | None
    target: str | None
    id: str | None


def read(
    path: Path, columns: Columns, *, delimiter: str | None = None, on_progress: OnBytes | None = None
) -> Iterator[LabelledText | Skipped]:
    """Read the rows one by one; a row without text or label gives the reason why it is skipped.

    Args:
        delimiter: comma, semicolon or tab; default: the one that finds the named columns in the first line.
        on_progress: called with (bytes read, bytes in all).

    Raises:
        NotFound: the file doesn't exist.
        InvalidInput: the file can't be read or a value is invalid; names file, line and column.
    """
    if delimiter is not None and delimiter not in DELIMITERS:
        raise InvalidInput("Invalid delimiter.", field="delimiter", remedy="Use a comma, a semicolon or a tab.")
    with _long_fields():
        headers = {each: _header(path, each) for each in DELIMITERS if delimiter in (None, each)}
        best = max(headers, key=lambda each: (len(set(columns) & set(headers[each])), len(headers[each])))
        at = _positions(path, columns, headers[best])
        width = len(headers[best])
        for line, fields in _records(path, best, on_progress, skip=1):
            if len(fields) != width:
                raise InvalidInput(
                    f"The row has {len(fields)} fields, but the first line names {width} columns.",
                    field=f"{path}:{line}",
                    remedy="Quote fields that contain the delimiter.",
                )
            yield _parse({role: fields[i] for role, i in at.items()}, columns, f"{path}:{line}")


@contextmanager
def _long_fields() -> Iterator[None]:
    limit = csv.field_size_limit(_MAX_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _lines(path: Path, on_progress: OnBytes | None) -> Iterator[str]:
    """The lines, each decoded by itself so that an error can name its line."""
    line = 1
    try:
        total, done = path.stat().st_size, 0
        with path.open("rb") as file:
            for line, raw in enumerate(file, start=1):
                done += len(raw)
                yield (raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw).decode("utf-8")
                if on_progress and (line % _PROGRESS_LINES == 0 or done == total):
                    on_progress(done, total)
    except FileNotFoundError as error:
        raise NotFound("File not found.", field=str(path), remedy="Pass the path of a CSV file.") from error
    except OSError as error:
        raise InvalidInput(
            f"The file can't be read: {error.strerror}.", field=str(path), remedy="Pass the path of a CSV file."
        ) from error
    except UnicodeDecodeError as error:
        # Not raised from its cause, which contains the line.
        raise InvalidInput(
            f"Byte {error.start + 1} of the line is not UTF-8.",
            field=f"{path}:{line}",
            remedy="Save the file as UTF-8, for example: iconv -f CP1252 -t UTF-8 FILE > NEW",
        ) from None


def _records(
    path: Path, delimiter: str, on_progress: OnBytes | None = None, *, skip: int = 0, strict: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line it begins on. Strict, because an unclosed quote would swallow the rest of the file."""
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
            f"The row that begins here is not valid CSV: {error}.",
            field=f"{path}:{line}",
            remedy="Quote fields that contain quotes or line breaks, and double the quotes in them.",
        ) from None


def _header(path: Path, delimiter: str) -> list[str]:
    # Not strict: with the wrong delimiter quotes can appear anywhere in a field.
    return next(([name.strip() for name in record] for _, record in _records(path, delimiter, strict=False)), [])


def _positions(path: Path, columns: Columns, header: list[str]) -> dict[str, int]:
    """The position of each role's column."""
    if columns.text == columns.label:
        raise InvalidInput(
            "Text and label can't be the same column.", field="label", remedy="Name the column that holds the label."
        )
    # The first line may be a row of data, whose texts must not get into a message.
    has_names = header and not any(_NOT_A_NAME.fullmatch(name) or len(name) > _MAX_NAME for name in header)
    at = {}
    for role, name in columns._asdict().items():
        if name is not None and header.count(name) != 1:
            problem = f"has the column {name!r} {header.count(name)} times" if name in header else f"lacks {name!r}"
            raise InvalidInput(
                f"The first line {problem}.",
                field=f"{path}:1",
                remedy=f"It names: {', '.join(header)}." if has_names else "Add a first line with column names.",
            )
        if name is not None:
            at[role] = header.index(name)
    return at


def _parse(fields: Mapping[str, str], columns: Columns, where: str) -> LabelledText | Skipped:
    text = present(fields["text"])
    if text is None:
        return "no text"
    fields = {role: value.strip() for role, value in fields.items()}
    if not fields["label"]:
        return "no label"
    return LabelledText(
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
            f"Column {column!r} holds a number between 0 and 1, which is a score, not a verdict.",
            field=where,
            remedy="Convert scores to verdicts first, with a threshold you trust: 1 from there up, 0 below.",
        )
    raise InvalidInput(f"Column {column!r} doesn't hold a valid verdict.", field=where, remedy=_VERDICT_REMEDY)


def _weight(value: str | None, where: str, column: str | None) -> float:
    if not value:
        return 1.0
    weight = _number(value)
    if weight is None or not 0 < weight <= MAX_WEIGHT:
        raise InvalidInput(
            f"Column {column!r} doesn't hold a valid weight.",
            field=where,
            remedy=f"Use a number above 0, at most {MAX_WEIGHT:,.0f}; leave it empty for 1.",
        )
    return weight


def _time(value: str | None, where: str, column: str | None) -> Micros | None:
    """Only the order of times is used, so a time without offset can be read as UTC."""
    if not value:
        return None
    try:
        if _SECONDS.fullmatch(value) and not _DATE.fullmatch(value):
            seconds = float(value)
            if not 0 <= seconds <= _LAST_SECOND:
                raise ValueError("not seconds since 1970")
            return round(seconds * 1_000_000)
        at = datetime.fromisoformat(value)
        return from_datetime(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"Column {column!r} doesn't hold a valid timestamp.",
            field=where,
            remedy="Use ISO 8601, for example 2026-01-31T12:00:00Z or 2026-01-31, or seconds (not milliseconds) since "
            "1970.",
        ) from None


def _number(value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None

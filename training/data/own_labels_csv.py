"""Reads labelled texts from CSV files as people and tools write them. Errors name the line but never quote a text."""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from leads.errors import InvalidInput, NotFound
from training.data.own_labels_faults import FoundFaults
from training.data.own_labels_values import Columns, LabelledText, Skipped, parse

DELIMITERS = (",", ";", "\t")
# The first bytes of a file that name its encoding; those of UTF-32 begin like those of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
# Stands for bytes that can't be decoded: no valid file can contain it.
_UNREADABLE = "\udcff"
# Excel's first line that names the delimiter.
_NAMES_DELIMITER = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
# The csv module's default limit of 131,072 characters is shorter than some texts.
_MAX_FIELD = 10_000_000
_MAX_NAME = 60
_PROGRESS_LINES = 5_000
_NOT_A_NAME = re.compile(r"[\d.]*|true|false|yes|no", re.IGNORECASE)
_QUOTING = 'Put the whole field in quotes, and double the quotes in it: "say ""hi"" to them".'

# Called with (bytes read, bytes in all).
OnBytes = Callable[[int, int], None]

__all__ = ["DELIMITERS", "Columns", "LabelledText", "OnBytes", "Skipped", "digest_of", "read"]


class _Format(NamedTuple):
    """How a file is written: its delimiter, the names of its columns, and how many lines come before them."""

    delimiter: str
    header: list[str]
    before: int


def read(
    path: Path, columns: Columns, *, delimiter: str | None = None, on_progress: OnBytes | None = None
) -> Iterator[LabelledText | Skipped]:
    """Read the rows one by one; a row without text or label gives the reason why it is skipped.

    Args:
        delimiter: comma, semicolon or tab; default: the one that a first line `sep=;` names, or else the one that
            finds the named columns in the first line.
        on_progress: called with (bytes read, bytes in all).

    Raises:
        NotFound: the file doesn't exist.
        InvalidInput: the file can't be read or values are invalid; names file, line and column of up to 20.
    """
    if delimiter is not None and delimiter not in DELIMITERS:
        raise InvalidInput("Invalid delimiter.", field="delimiter", remedy="Use a comma, a semicolon or a tab.")
    with _long_fields():
        format_ = _format_of(path, columns, delimiter)
        at, wrong = _positions(path, columns, format_), FoundFaults()
        records = _records(path, format_.delimiter, format_.before, on_progress, names=format_.header)
        while True:
            try:
                record = next(records, None)
                if record is None:
                    break
                line, last, fields = record
                if len(fields) != len(format_.header):
                    raise _wrong_width(path, line, last, len(fields), len(format_.header))
                row = parse({role: fields[i] for role, i in at.items()}, columns, path, line)
            except InvalidInput as error:
                wrong.add(error)
            else:
                yield row
        if wrong.count:
            raise wrong.together()


def digest_of(path: Path, columns: Columns, delimiter: str | None) -> str:
    """Equal for equal files that are read in the same way.

    Raises:
        NotFound, InvalidInput: the file doesn't exist or can't be read.
    """
    with _opened(path) as file:
        found = hashlib.file_digest(file, "sha256")
    found.update(repr((*columns, delimiter)).encode())
    return found.hexdigest()


@contextmanager
def _long_fields() -> Iterator[None]:
    limit = csv.field_size_limit(_MAX_FIELD)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise NotFound("File not found.", field=str(path), remedy="Pass the path of a CSV file.") from error
    except OSError as error:
        raise InvalidInput(
            f"The file can't be read: {error.strerror}.", field=str(path), remedy="Pass the path of a CSV file."
        ) from error


def _lines(path: Path, on_progress: OnBytes | None = None) -> Iterator[str]:
    """The lines with their ends. A carriage return ends lines only where it ends the first one."""
    codecs.register_error("unreadable", lambda error: (_UNREADABLE, getattr(error, "end", 0)))
    with _opened(path) as file:
        start, total = file.peek(4), path.stat().st_size
        encoding = next((name for mark, name in _MARKS if start.startswith(mark)), "UTF-8")
        codec = "utf-8-sig" if encoding == "UTF-8" else encoding
        with TextIOWrapper(file, codec, errors="unreadable", newline="") as pieces:
            for number, line in enumerate(_joined(pieces), start=1):
                if (at := line.find(_UNREADABLE)) >= 0 or "\0" in line:
                    raise _not_text(path, number, at, encoding)
                yield line
                if on_progress and number % _PROGRESS_LINES == 0:
                    on_progress(file.tell(), total)
            if on_progress:
                on_progress(total, total)


def _joined(pieces: Iterable[str]) -> Iterator[str]:
    """Lines out of pieces that end at any line feed or carriage return."""
    begun, returns = "", None
    for piece in pieces:
        begun += piece
        returns = piece.endswith("\r") if returns is None else returns
        if returns or not piece.endswith("\r"):
            yield begun
            begun = ""
    if begun:
        yield begun


def _not_text(path: Path, line: int, at: int, encoding: str) -> InvalidInput:
    message, remedy = f"Character {at + 1} of the line is not {encoding}.", "Save the file as UTF-8"
    if at < 0:
        message = "The line contains zero bytes, as UTF-16 without a byte-order mark does."
    elif encoding == "UTF-8":
        remedy += ", for example: iconv -f CP1252 -t UTF-8 FILE > NEW"
    return InvalidInput(message, field=f"{path}:{line}", remedy=f"{remedy}.")


def _records(
    path: Path,
    delimiter: str,
    before: int,
    on_progress: OnBytes | None = None,
    *,
    names: Sequence[str] | None = None,
) -> Iterator[tuple[int, int, list[str]]]:
    """Each record with the first and last line it stands on.

    Args:
        before: number of lines to skip.
        names: names of the columns, to skip their record and read the others strictly, because an unclosed quote
            would swallow the rest of the file. None where the delimiter isn't known yet and quotes can be anywhere.
    """
    raw: list[str] = []
    reader = csv.reader(
        _kept(islice(_lines(path, on_progress), before, None), raw), delimiter=delimiter, strict=names is not None
    )
    line, skip = before + 1, names is not None
    try:
        for record in reader:
            if record and not skip:
                yield line, before + reader.line_num, record
            skip = skip and not record
            line = before + reader.line_num + 1
            raw.clear()
    except csv.Error as error:
        raise _stray(path, line, "".join(raw), delimiter, names or (), error) from None


def _kept(lines: Iterable[str], raw: list[str]) -> Iterator[str]:
    for line in lines:
        raw.append(line)
        yield line


def _stray(path: Path, line: int, raw: str, delimiter: str, names: Sequence[str], error: csv.Error) -> InvalidInput:
    """The error for a record that isn't valid CSV: which field it is, and what is wrong with its quotes."""
    quoted = re.compile('"(?:[^"]|"")*+"')
    before = re.compile(f'(?:{quoted.pattern}|(?!")[^{delimiter}\r\n]*){delimiter}')
    field, start = 0, 0
    while found := before.match(raw, start):
        field, start = field + 1, found.end()
    column = f"column {names[field]!r}" if field < len(names) else f"field {field + 1}"
    if not raw.startswith('"', start):
        problem = f"{error}" if "\r" not in raw.rstrip() else "it has a carriage return that isn't in quotes"
    elif found := quoted.match(raw, start):
        problem = f"the quote at character {found.end()} of the row closes it, but it goes on"
    else:
        problem = f"the quote at character {start + 1} of the row is never closed"
    return InvalidInput(
        f"The row that begins here is not valid CSV, in {column}: {problem}.", field=f"{path}:{line}", remedy=_QUOTING
    )


def _wrong_width(path: Path, line: int, last: int, fields: int, width: int) -> InvalidInput:
    remedy = "Quote fields that contain the delimiter."
    if last > line:
        remedy += (
            f" The row goes on to line {last}: if it shouldn't, a quote in line {line} has to be doubled or removed."
        )
    return InvalidInput(
        f"The row has {fields} field{'s' * (fields != 1)}, but the header names {width} columns.",
        field=f"{path}:{line}",
        remedy=remedy,
    )


def _format_of(path: Path, columns: Columns, delimiter: str | None) -> _Format:
    named = _NAMES_DELIMITER.fullmatch(next(_lines(path), ""))
    if named and delimiter is None and named[1] not in DELIMITERS:
        raise InvalidInput(
            f"The first line names the delimiter {named[1]!r}.",
            field=f"{path}:1",
            remedy="Save the file with a comma, a semicolon or a tab between fields.",
        )
    before, only = (1, delimiter or named[1]) if named else (0, delimiter)
    headers = {each: _header(path, each, before) for each in DELIMITERS if only in (None, each)}
    best = max(headers, key=lambda each: (len(set(columns) & set(headers[each])), len(headers[each])))
    return _Format(best, headers[best], before)


def _header(path: Path, delimiter: str, before: int) -> list[str]:
    return next(([name.strip() for name in record] for _, _, record in _records(path, delimiter, before)), [])


def _positions(path: Path, columns: Columns, format_: _Format) -> dict[str, int]:
    """The position of each role's column."""
    header, line = format_.header, format_.before + 1
    if columns.text == columns.label:
        raise InvalidInput(
            "Text and label can't be the same column.", field="label", remedy="Name the column that holds the label."
        )
    if not header:
        raise InvalidInput("The file is empty.", field=f"{path}:{line}", remedy="Pass a CSV file with a header.")
    # The line may be a row of data, whose texts must not get into a message.
    has_names = header and not any(_NOT_A_NAME.fullmatch(name) or len(name) > _MAX_NAME for name in header)
    at = {}
    for role, name in columns._asdict().items():
        if name is not None and header.count(name) != 1:
            problem = f"has the column {name!r} {header.count(name)} times" if name in header else f"lacks {name!r}"
            raise InvalidInput(
                f"The {'first' if line == 1 else 'second'} line {problem}.",
                field=f"{path}:{line}",
                remedy=f"It names: {', '.join(header)}." if has_names else "Add a first line with column names.",
            )
        if name is not None:
            at[role] = header.index(name)
    return at

"""Reads files of events: JSON Lines, one event per line (`leads.api.event_lines`)."""

from __future__ import annotations

from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path

from leads.api.declared import Declared
from leads.api.event_lines import Line, parse_line
from leads.errors import InvalidInput, moved

_MAX_LINE = 1_000_000
_BOM = b"\xef\xbb\xbf"
# How files begin that are not JSON Lines in UTF-8, and what to do with them.
_OTHER_FORMATS = {
    b"\xff\xfe": ("The file is encoded as UTF-16.", "Save it as UTF-8."),
    b"\xfe\xff": ("The file is encoded as UTF-16.", "Save it as UTF-8."),
    b"\x1f\x8b": ("The file is compressed.", "Decompress it first: gunzip FILE"),
}

# A line's number and content.
Numbered = tuple[int, Line]


def check_format(path: Path) -> None:
    """Raises InvalidInput when the file is compressed or not UTF-8."""
    with path.open("rb") as file:
        start = file.read(2)
    if start in _OTHER_FORMATS:
        message, remedy = _OTHER_FORMATS[start]
        raise InvalidInput(message, field=str(path), remedy=remedy)


def lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
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


def parse(raw: bytes | None, declared: Declared) -> Line:
    """Parse one of `lines`. Raises InvalidInput with the JSON pointer of the error."""
    if raw is None:
        raise InvalidInput(f"The line is longer than {_MAX_LINE:,} bytes.")
    return parse_line(raw, declared)


def parsed(path: Path, declared: Declared, numbers: Container[int] | None = None) -> Iterator[Numbered]:
    """The lines with these numbers, by default all. Raises InvalidInput with the place of a line that is invalid."""
    for number, raw in lines(path):
        if numbers is not None and number not in numbers:
            continue
        try:
            line = parse(raw, declared)
        except InvalidInput as error:
            raise moved(error, partial(place, path, number)) from error
        yield number, line


def place(path: Path, number: int, field: str | None) -> str:
    """A line of the file, and the JSON pointer of a field in it, if known: `events.jsonl:3 /occurredAt`."""
    return f"{path}:{number}{f' {field}' if field else ''}"

"""Reads the public corpora of labelled text in their published formats.

Their official splits are ignored: the same text can appear in several of them, so a split must keep equal `group`s
together. Only the rank by time is exposed: because of how youtube-spam was collected, a timestamp almost reveals the
label.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from leads.clock import from_datetime
from leads.errors import InvalidInput
from leads.text import text_hash

_Row = Mapping[str, str]
_DOWNLOAD_AGAIN = "Download the file again in its published form."


class CorpusText(msgspec.Struct, frozen=True):
    """One labelled text.

    Args:
        corpus: name of the corpus: `youtube-spam`, `cad`, `edos`, `convabuse`.
        id: as published.
        text: as published, with real line breaks.
        labels: by corpus key as in `policies.yaml` (`cad:identity`); a missing key means "not labelled".
        order: rank by time within the corpus, equal for equal times; None if the corpus has no times.
        group: hash of the normal form; equal for texts that count as equal, across corpora too.
        author: the writer, if the corpus names one.
    """

    corpus: str
    id: str
    text: str
    labels: Mapping[str, bool]
    order: int | None
    group: int
    author: str | None = None

    def label(self, keys: Iterable[str]) -> bool | None:
        """Whether any of the corpus keys is labelled true; None if the text has a label for none of them."""
        known = [self.labels[key] for key in keys if key in self.labels]
        return any(known) if known else None


class _Read(NamedTuple):
    """A parsed row. `time` is comparable within its corpus; None if the row has none."""

    id: str
    text: str
    labels: Mapping[str, bool]
    time: int | None
    author: str | None = None


class _Format(NamedTuple):
    """A corpus's published format. `files` are glob patterns in its folder; `parse` raises ValueError."""

    keys: tuple[str, ...]
    files: tuple[str, ...]
    columns: tuple[str, ...]
    parse: Callable[[_Row], _Read]
    tabs: bool = False


def available(directory: Path | None) -> tuple[str, ...]:
    """The corpora of which `directory` contains at least one file."""
    return tuple(name for name in _FORMATS if directory is not None and _files(directory, name))


def read_corpus(directory: Path, name: str) -> list[CorpusText]:
    """All texts of one corpus, in file order.

    Raises:
        InvalidInput: unknown corpus, no files or rows, missing columns, not UTF-8, or an invalid row. Quotes no text.
    """
    read: list[_Read] = []
    for path in _files(directory, name):
        read.extend(_carry_time(_read_file(path, _format(name))))
    if not read:
        raise InvalidInput(
            f"No files or rows found for the corpus {name} (looked for {', '.join(_format(name).files)}).",
            field=str(directory / name),
            remedy="Set LEADS_CORPORA to the folder that contains the published corpora.",
        )
    ranks = {time: rank for rank, time in enumerate(sorted({row.time for row in read if row.time is not None}))}
    return [
        CorpusText(
            name,
            row.id,
            row.text,
            row.labels,
            None if row.time is None else ranks[row.time],
            text_hash(row.text),
            row.author,
        )
        for row in read
    ]


def read_for(directory: Path, keys: Iterable[str]) -> list[CorpusText]:
    """All texts of the corpora that have labels for `keys`, each corpus once, in the order of `keys`.

    Raises:
        InvalidInput: an unknown key, or as `read_corpus`.
    """
    return [text for name in corpora_of(keys) for text in read_corpus(directory, name)]


def corpora_of(keys: Iterable[str]) -> list[str]:
    """The corpora that have labels for `keys`, each once, in the order of `keys`.

    Raises:
        InvalidInput: an unknown key.
    """
    by_key = {key: name for name, format_ in _FORMATS.items() for key in format_.keys}
    names: dict[str, None] = {}
    for key in keys:
        if key not in by_key:
            known = f"Known: {', '.join(by_key)}."
            raise InvalidInput(f"Unknown corpus key {key!r}.", field="corpora", remedy=known)
        names[by_key[key]] = None
    return list(names)


def _format(name: str) -> _Format:
    if name not in _FORMATS:
        raise InvalidInput(f"Unknown corpus {name!r}.", field="corpus", remedy=f"Known: {', '.join(_FORMATS)}.")
    return _FORMATS[name]


def _files(directory: Path, name: str) -> list[Path]:
    return sorted({path for pattern in _format(name).files for path in (directory / name).glob(pattern)})


def _read_file(path: Path, format_: _Format) -> Iterator[_Read]:
    rows = _cells(path, tabs=format_.tabs)
    _, header = next(rows, (1, []))
    if missing := ", ".join(column for column in format_.columns if column not in header):
        remedy = f"Expected: {', '.join(format_.columns)}."
        raise InvalidInput(f"Missing columns: {missing}.", field=f"{path}:1", remedy=remedy)
    for line, cells in rows:
        try:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} fields, but the header has {len(header)}")
            yield format_.parse(dict(zip(header, cells, strict=True)))
        except ValueError as error:
            raise _invalid_row(path, line, error) from error


def _cells(path: Path, *, tabs: bool) -> Iterator[tuple[int, list[str]]]:
    """Each row's cells, and the number of the line on which the row ends."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"Not valid UTF-8 at byte {error.start}.", field=str(path), remedy=_DOWNLOAD_AGAIN
        ) from error
    except OSError as error:
        raise InvalidInput(f"Can't read the file: {error.strerror}.", field=str(path)) from error
    source = io.StringIO(text, newline="")
    reader = csv.reader(source, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(source)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise _invalid_row(path, reader.line_num, error) from error


def _invalid_row(path: Path, line: int, error: Exception) -> InvalidInput:
    return InvalidInput(f"Invalid row: {error}.", field=f"{path}:{line}", remedy=_DOWNLOAD_AGAIN)


def _carry_time(rows: Iterable[_Read]) -> Iterator[_Read]:
    """Give a row without a time the time of the row before it, so that both land on the same side of a split.

    Files are roughly in order of time. Rows at the start of a file without a time get the first time in it.
    """
    waiting: list[_Read] = []
    last: int | None = None
    for row in rows:
        last = row.time if row.time is not None else last
        waiting.append(row)
        if last is not None:
            yield from (each if each.time is not None else each._replace(time=last) for each in waiting)
            waiting.clear()
    yield from waiting


def _youtube(row: _Row) -> _Read:
    # Some comments in the export end with a byte-order mark.
    text = row["CONTENT"].strip("\ufeff")
    labels = {"youtube-spam": _choice(row, "CLASS", "1", "0")}
    return _Read(row["COMMENT_ID"], text, labels, _micros(row), row["AUTHOR"] or None)


def _cad(row: _Row) -> _Read:
    categories = row["labels"].split(",")
    if unknown := set(categories) - _CAD_CATEGORIES:
        raise ValueError(f"labels contains {len(unknown)} unknown categories")
    labels = {
        "cad:identity": "IdentityDirectedAbuse" in categories,
        "cad:person": "PersonDirectedAbuse" in categories,
    }
    # Ids of posts and titles are a base-36 number with a suffix.
    try:
        time = int(row["id"].partition("-")[0], 36)
    except ValueError:
        raise ValueError("id is not a base-36 number") from None
    return _Read(row["id"], row["text"].replace("[linebreak]", "\n"), labels, time)


def _edos(row: _Row) -> _Read:
    return _Read(row["rewire_id"], row["text"], {"edos": _choice(row, "label_sexist", "sexist", "not sexist")}, None)


def _convabuse(row: _Row) -> _Read:
    """Abusive if most marks of all annotators are below zero; some annotators gave two marks (`1, 1`)."""
    marks = dict.fromkeys(_GRADES, 0)
    for column, cell in row.items():
        _, _, grade = column.partition("_is_abuse.")
        if grade in marks:
            marks[grade] += cell.count("1")
    if not any(marks.values()):
        raise ValueError("no annotator marked it")
    abusive = 2 * sum(marks[grade] for grade in ("-1", "-2", "-3")) > sum(marks.values())
    return _Read(row["example_id"], row["user"], {"convabuse": abusive}, None)


def _choice(row: _Row, column: str, yes: str, no: str) -> bool:
    if row[column] not in (yes, no):
        raise ValueError(f"{column} is neither {yes!r} nor {no!r}")
    return row[column] == yes


def _micros(row: _Row) -> int | None:
    if not (text := row["DATE"].strip()):
        return None
    try:
        return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))
    except ValueError:
        raise ValueError("DATE is not a valid time") from None


_CAD_CATEGORIES = frozenset(
    {"IdentityDirectedAbuse", "PersonDirectedAbuse", "AffiliationDirectedAbuse", "CounterSpeech", "Neutral", "Slur"}
)
_GRADES = ("1", "0", "-1", "-2", "-3")

# The folders may contain files that aren't read: edos's single annotations, convabuse's `full`, which repeats others.
_FORMATS: Mapping[str, _Format] = {
    "youtube-spam": _Format(
        ("youtube-spam",), ("*.csv",), ("COMMENT_ID", "AUTHOR", "DATE", "CONTENT", "CLASS"), _youtube
    ),
    "cad": _Format(("cad:identity", "cad:person"), ("cad_v1_1_*.tsv",), ("id", "text", "labels"), _cad, tabs=True),
    "edos": _Format(("edos",), ("edos_labelled_aggregated.csv",), ("rewire_id", "text", "label_sexist"), _edos),
    "convabuse": _Format(
        ("convabuse",),
        tuple(f"ConvAbuseEMNLP{part}.csv" for part in ("train", "valid", "test")),
        ("example_id", "user", *(f"Annotator1_is_abuse.{grade}" for grade in _GRADES)),
        _convabuse,
    ),
}

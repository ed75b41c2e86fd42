"""The public corpora of labelled text, read where they lie and as they were published.

Their official splits are ignored: texts recur across them, so whoever splits keeps equal `group`s together. Only the
rank by time leaves this module: how youtube-spam was collected makes a timestamp almost give the label away.
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
_AGAIN = "Get the file again as published."


class CorpusText(msgspec.Struct, frozen=True):
    """One labelled text.

    Args:
        corpus: which corpus it is from: `youtube-spam`, `cad`, `edos`, `convabuse`.
        id: as published.
        text: as published, with real line ends.
        labels: by corpus key, as `policies.yaml` names them (`cad:identity`); a key that is absent is not labelled.
        order: rank in the corpus' own order of time, equal for equal times; None where the corpus has no time.
        group: hash of the normal form: equal for texts that count as equal, across corpora too.
        author: who wrote it, where the corpus says so.
    """

    corpus: str
    id: str
    text: str
    labels: Mapping[str, bool]
    order: int | None
    group: int
    author: str | None = None

    def label(self, keys: Iterable[str]) -> bool | None:
        """Whether any of the corpus keys holds; None when the text carries a label for none of them."""
        known = [self.labels[key] for key in keys if key in self.labels]
        return any(known) if known else None


class _Read(NamedTuple):
    """A row as read: `time` is comparable within its corpus, None where the row has none."""

    id: str
    text: str
    labels: Mapping[str, bool]
    time: int | None
    author: str | None = None


class _Format(NamedTuple):
    """How a corpus was published. `files` are glob patterns below its folder; `parse` raises ValueError."""

    keys: tuple[str, ...]
    files: tuple[str, ...]
    columns: tuple[str, ...]
    parse: Callable[[_Row], _Read]
    tabs: bool = False


def available(directory: Path | None) -> tuple[str, ...]:
    """The corpora of which `directory` holds at least one file."""
    return tuple(name for name in _FORMATS if directory is not None and _files(directory, name))


def read_corpus(directory: Path, name: str) -> list[CorpusText]:
    """All texts of one corpus, in the order of its files.

    Raises:
        InvalidInput: unknown corpus, no file, no row, wrong columns, not UTF-8, bad row; quotes no text.
    """
    read: list[_Read] = []
    for path in _files(directory, name):
        read.extend(_carry_time(_read_file(path, _format(name))))
    if not read:
        raise InvalidInput(
            f"The corpus {name} has no file or no row there (looked for {', '.join(_format(name).files)}).",
            field=str(directory / name),
            remedy="Set LEADS_CORPORA to the folder that holds the corpora as published.",
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
    """All texts of the corpora that carry labels for `keys`, each corpus once, in the order of `keys`.

    Raises:
        InvalidInput: a key that no corpus has, or as `read_corpus`.
    """
    by_key = {key: name for name, format_ in _FORMATS.items() for key in format_.keys}
    names: dict[str, None] = {}
    for key in keys:
        if key not in by_key:
            known = f"Known: {', '.join(by_key)}."
            raise InvalidInput(f"There is no corpus key {key!r}.", field="corpora", remedy=known)
        names[by_key[key]] = None
    return [text for name in names for text in read_corpus(directory, name)]


def _format(name: str) -> _Format:
    if name not in _FORMATS:
        raise InvalidInput(f"There is no corpus {name!r}.", field="corpus", remedy=f"Known: {', '.join(_FORMATS)}.")
    return _FORMATS[name]


def _files(directory: Path, name: str) -> list[Path]:
    return sorted({path for pattern in _format(name).files for path in (directory / name).glob(pattern)})


def _read_file(path: Path, format_: _Format) -> Iterator[_Read]:
    rows = _cells(path, tabs=format_.tabs)
    _, header = next(rows, (1, []))
    if lacking := ", ".join(column for column in format_.columns if column not in header):
        remedy = f"Expected: {', '.join(format_.columns)}."
        raise InvalidInput(f"lacks the columns {lacking}.", field=f"{path}:1", remedy=remedy)
    for line, cells in rows:
        try:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} fields where the header has {len(header)}")
            yield format_.parse(dict(zip(header, cells, strict=True)))
        except ValueError as error:
            raise _unreadable(path, line, error) from error


def _cells(path: Path, *, tabs: bool) -> Iterator[tuple[int, list[str]]]:
    """Each row's cells, and the line on which it ends."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"is not UTF-8 at byte {error.start}.", field=str(path), remedy=_AGAIN) from error
    except OSError as error:
        raise InvalidInput(f"can't be read: {error.strerror}.", field=str(path)) from error
    source = io.StringIO(text, newline="")
    reader = csv.reader(source, delimiter="\t", quoting=csv.QUOTE_NONE) if tabs else csv.reader(source)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise _unreadable(path, reader.line_num, error) from error


def _unreadable(path: Path, line: int, error: Exception) -> InvalidInput:
    return InvalidInput(f"The row can't be read: {error}.", field=f"{path}:{line}", remedy=_AGAIN)


def _carry_time(rows: Iterable[_Read]) -> Iterator[_Read]:
    """Give a row without a time that of the row before it in its file, so that it falls on that side of a split.

    Files are roughly in order of time. Rows that open a file without one take the first there is.
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
    # The export left byte-order marks behind some comments.
    text = row["CONTENT"].strip("\ufeff")
    labels = {"youtube-spam": _choice(row, "CLASS", "1", "0")}
    return _Read(row["COMMENT_ID"], text, labels, _micros(row), row["AUTHOR"] or None)


def _cad(row: _Row) -> _Read:
    categories = row["labels"].split(",")
    if unknown := set(categories) - _CAD_CATEGORIES:
        raise ValueError(f"labels holds {len(unknown)} unknown categories")
    labels = {
        "cad:identity": "IdentityDirectedAbuse" in categories,
        "cad:person": "PersonDirectedAbuse" in categories,
    }
    # Posts and titles carry a suffix behind their base 36 number.
    try:
        time = int(row["id"].partition("-")[0], 36)
    except ValueError:
        raise ValueError("id is not a base 36 number") from None
    return _Read(row["id"], row["text"].replace("[linebreak]", "\n"), labels, time)


def _edos(row: _Row) -> _Read:
    return _Read(row["rewire_id"], row["text"], {"edos": _choice(row, "label_sexist", "sexist", "not sexist")}, None)


def _convabuse(row: _Row) -> _Read:
    """Abusive when most marks of all annotators lie below zero; some annotators marked an example twice (`1, 1`)."""
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
        raise ValueError("DATE is not a time") from None


_CAD_CATEGORIES = frozenset(
    {"IdentityDirectedAbuse", "PersonDirectedAbuse", "AffiliationDirectedAbuse", "CounterSpeech", "Neutral", "Slur"}
)
_GRADES = ("1", "0", "-1", "-2", "-3")

# The folders may hold more than what is read: edos' single annotations, convabuse's `full`, which repeats its parts.
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

"""Labels from files of one's own, kept below `LEADS_HOME` so that every later training learns from them too."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from leads.clock import Micros
from leads.errors import InvalidInput, NotFound
from leads.files import write_atomic
from leads.policies import Policies
from leads.settings import Settings
from leads.text import text_hash
from training.data.labelled_rows import FILE, Row, number
from training.data.own_labels_csv import Columns, Labelled, OnProgress, read

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that are written in one piece, to bound the memory.
_AT_ONCE = 20_000

__all__ = ["Columns", "Imported", "declaration", "folder_of", "import_labels", "imported", "safe_name"]


class Imported(NamedTuple):
    """What was kept of a file, and what was not.

    Args:
        path: where it is kept.
        name: under which; the rows' source is `file:<name>`.
        replaced: there had been labels of this name.
        duplicates: rows whose text an earlier row has; copies count as one row when a model is trained.
        without_text, without_label: rows that were skipped.
        without_time: rows whose time is empty; with any, the rows that measure are drawn at random.
        first, last: times, µs; None without any.
    """

    path: Path
    name: str
    replaced: bool
    rows: int
    violating: int
    duplicates: int
    without_text: int
    without_label: int
    without_time: int
    first: Micros | None
    last: Micros | None


def import_labels(
    settings: Settings,
    policies: Policies,
    harm: str,
    path: Path,
    columns: Columns,
    *,
    name: str | None = None,
    delimiter: str | None = None,
    on_progress: OnProgress | None = None,
) -> Imported:
    """Keep a UTF-8 CSV file's labels for a harm that is declared in `policies.yaml` and judged by text.

    Either the whole file is kept or nothing. Labels kept under the same name before are replaced.

    Args:
        name: under which they are kept; default: the file's own, made safe.
        delimiter: comma, semicolon or tab; default: the one with which the first line names the columns.
        on_progress: called with (bytes read, bytes).

    Raises:
        NotFound: no such harm, with what to paste into `policies.yaml`; or no such file.
        InvalidInput: the harm isn't judged by text; or names file, line and column of what can't be read.
    """
    _check_harm(settings, policies, harm)
    safe = safe_name(path.stem if name is None else name)
    kept = folder_of(settings, harm) / f"{safe}.parquet"
    replaced, seen = kept.exists(), _Seen()

    def rows() -> Iterator[Labelled]:
        for found in read(path, columns, delimiter=delimiter, on_progress=on_progress):
            if isinstance(found, Labelled):
                seen.add(found)
                yield found
            else:
                seen.without_text += found == "no text"
                seen.without_label += found == "no label"
        if not seen.rows:
            raise InvalidInput(
                f"The file holds no labelled text; {seen.without_text} rows have no text, {seen.without_label} "
                "no label.",
                field=str(path),
                remedy="Name the columns that hold text and label.",
            )

    write_atomic(kept, lambda draft: _write(draft, rows(), f"{FILE}{safe}"))
    return Imported(
        path=kept,
        name=safe,
        replaced=replaced,
        rows=seen.rows,
        violating=seen.violating,
        duplicates=seen.rows - len(seen.texts),
        without_text=seen.without_text,
        without_label=seen.without_label,
        without_time=seen.without_time if columns.time else 0,
        first=min(seen.times, default=None),
        last=max(seen.times, default=None),
    )


def imported(settings: Settings, harm: str) -> list[Row]:
    """The rows of all files that are kept for a harm, by name of file.

    Raises:
        InvalidInput: a kept file can't be read.
    """
    return [row for path in sorted(folder_of(settings, harm).glob("*.parquet")) for row in _read(path)]


def folder_of(settings: Settings, harm: str) -> Path:
    """Where a harm's own labels are kept, a Parquet file per name; one that is removed isn't learned from again."""
    return settings.root / "labels" / harm


def safe_name(name: str) -> str:
    """A name that is fit for files, tables and MLflow.

    Raises:
        InvalidInput: nothing is left of it.

    >>> safe_name("Étude 2 (final)")
    'etude_2_final'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    safe = re.sub(r"[^a-z0-9-]+", "_", plain)[:64].strip("_-")
    if not safe:
        raise InvalidInput("The name has no letter or digit.", field="name", remedy="Name them with a to z, 0 to 9.")
    return safe


def declaration(harm: str) -> str:
    """YAML that declares a harm, to paste below `harms:`."""
    return f"""  {harm}:
    title: {harm.replace("_", " ").capitalize()}
    subject_types: [comment]
    severity: 5
    dsa_category: STATEMENT_CATEGORY_OTHER_VIOLATION_TC
    review: {{precision: 0.6, at_least: 0.3}}
"""


def _check_harm(settings: Settings, policies: Policies, harm: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", harm):
        raise InvalidInput(
            "That is no name of a harm.", field="HARM", remedy="Begin with a to z, go on with a to z, 0 to 9 and _."
        )
    if harm not in policies.harms:
        raise NotFound(
            f"There is no harm {harm!r}.",
            field="HARM",
            remedy=f"Declared are: {', '.join(policies.harms)}. To declare it, paste this below `harms:` in "
            f"{settings.policies}, then mend title, types and severity:\n\n{declaration(harm)}",
        )
    if not policies.harms[harm].text:
        raise InvalidInput(
            f"{harm} isn't judged by text, so labelled texts can't teach it.",
            field="HARM",
            remedy=f"Ingest decisions about it, or drop `text: false` from it in {settings.policies}.",
        )


class _Seen:
    """What a pass over the file counts."""

    def __init__(self) -> None:
        self.rows = self.violating = self.without_text = self.without_label = self.without_time = 0
        self.times: tuple[Micros, ...] = ()
        self.texts: set[int] = set()

    def add(self, row: Labelled) -> None:
        self.rows += 1
        self.violating += row.violating
        self.texts.add(text_hash(row.text))
        if row.time is None:
            self.without_time += 1
        else:
            self.times = (min(*self.times, row.time), max(*self.times, row.time)) if self.times else (row.time,) * 2


def _schema() -> pa.Schema:
    import pyarrow as pa

    always = {"text": pa.string(), "violating": pa.bool_(), "weight": pa.float64()}
    maybe = {"time": pa.int64(), "maker": pa.uint64(), "target": pa.string(), "id": pa.string()}
    fields = [pa.field(name, kind, nullable=False) for name, kind in always.items()]
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in maybe.items())])


def _write(draft: Path, rows: Iterator[Labelled], source: str) -> None:
    """Authors are kept as numbers: that texts have one author matters, not who it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _AT_ONCE)):
            made = [_cells(row, source) for row in batch]
            arrays = [pa.array(values, each.type) for values, each in zip(zip(*made, strict=True), schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _cells(row: Labelled, source: str) -> tuple[object, ...]:
    maker = None if row.author is None else number(f"{source}:{row.author}")
    return row.text, row.violating, row.weight, row.time, maker, row.target, row.id


def _read(path: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=_schema().names, partitioning=None).cast(_schema())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, OSError, ValueError) as error:
        raise InvalidInput(
            f"These kept labels can't be read: {type(error).__name__}.",
            field=str(path),
            remedy="Import the file again (leads train --csv), or remove it.",
        ) from error
    texts, violating, weights, times, makers, targets, _ = (column.to_pylist() for column in table.columns)
    source, ranks = f"{FILE}{path.stem}", _ranks(times)
    return [
        Row(text, verdict, source, rank, text_hash(text), weight, maker, None, target)
        for text, verdict, rank, weight, maker, target in zip(
            texts, violating, ranks, weights, makers, targets, strict=True
        )
    ]


def _ranks(times: Sequence[Micros | None]) -> list[int | None]:
    """The rank of each time among the distinct ones: equal for equal times."""
    known = np.unique(np.array([time for time in times if time is not None], dtype=np.int64))
    return [None if time is None else int(np.searchsorted(known, time)) for time in times]

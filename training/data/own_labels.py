"""Labels imported from files of your own, stored under `LEADS_HOME` so that every later training uses them too."""

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
from training.data.labelled_rows import FILE, LabelledRow, number
from training.data.own_labels_csv import Columns, LabelledText, OnBytes, read

if TYPE_CHECKING:
    import pyarrow as pa

# Rows written at once, to bound memory.
_BATCH = 20_000

__all__ = ["Columns", "Imported", "declaration", "folder_of", "import_labels", "imported", "safe_name"]


class Imported(NamedTuple):
    """What was imported from a file, and what was skipped.

    Args:
        path: the stored file.
        name: the name the labels are stored under; the rows' source is `file:<name>`.
        replaced: whether earlier labels of this name were replaced.
        duplicates: rows whose text an earlier row has. Copies count as one row in training.
        without_text, without_label: rows that were skipped.
        without_time: rows without a time. If there are any, the held-out rows are drawn at random.
        first, last: earliest and latest time, µs; None if no row has one.
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
    on_progress: OnBytes | None = None,
) -> Imported:
    """Import the labels of a UTF-8 CSV file for a harm that is declared in `policies.yaml` and uses text.

    The file is imported as a whole or not at all. Earlier labels of the same name are replaced.

    Args:
        name: the name to store them under; default: the file's own, made safe.
        delimiter: comma, semicolon or tab; default: the one that finds the named columns in the first line.
        on_progress: called with (bytes read, bytes in all).

    Raises:
        NotFound: the harm isn't declared (the error shows what to paste into `policies.yaml`), or the file doesn't
            exist.
        InvalidInput: the harm's policy doesn't use text, or the file is invalid; names file, line and column.
    """
    _check_harm(settings, policies, harm)
    safe = safe_name(path.stem if name is None else name)
    kept = folder_of(settings, harm) / f"{safe}.parquet"
    replaced, seen = kept.exists(), _Seen()

    def rows() -> Iterator[LabelledText]:
        for found in read(path, columns, delimiter=delimiter, on_progress=on_progress):
            if isinstance(found, LabelledText):
                seen.add(found)
                yield found
            else:
                seen.without_text += found == "no text"
                seen.without_label += found == "no label"
        if not seen.rows:
            raise InvalidInput(
                f"The file has no row with text and label; {seen.without_text} rows have no text, "
                f"{seen.without_label} have no label.",
                field=str(path),
                remedy="Check the names of the columns that hold text and label.",
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


def imported(settings: Settings, harm: str) -> list[LabelledRow]:
    """The rows of all files that were imported for a harm, in the order of their names.

    Raises:
        InvalidInput: a stored file can't be read.
    """
    return [row for path in sorted(folder_of(settings, harm).glob("*.parquet")) for row in _read(path)]


def folder_of(settings: Settings, harm: str) -> Path:
    """The folder of a harm's imported labels, one Parquet file per name. Remove a file to stop training with it."""
    return settings.root / "labels" / harm


def safe_name(name: str) -> str:
    """Convert a name to one that files, tables and MLflow accept.

    Raises:
        InvalidInput: the name has no letter or digit.

    >>> safe_name("Étude 2 (final)")
    'etude_2_final'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    safe = re.sub(r"[^a-z0-9-]+", "_", plain)[:64].strip("_-")
    if not safe:
        raise InvalidInput(
            "The name has no letter or digit.", field="name", remedy="Use a name with letters a to z or digits."
        )
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
            "Invalid name of a harm.",
            field="HARM",
            remedy="Begin with a to z and continue with a to z, 0 to 9 or _; use at most 64 characters.",
        )
    if harm not in policies.harms:
        raise NotFound(
            f"Harm {harm!r} not found.",
            field="HARM",
            remedy=f"Use one of {', '.join(policies.harms)}. Or declare it: paste this below `harms:` in "
            f"{settings.policies}, then set title, subject types and severity:\n\n{declaration(harm)}",
        )
    if not policies.harms[harm].text:
        raise InvalidInput(
            f"The policy of {harm} doesn't use text, so it can't be trained with labelled texts.",
            field="HARM",
            remedy=f"Ingest decisions on it instead, or remove `text: false` from it in {settings.policies}.",
        )


class _Seen:
    """Counts of a pass over the file."""

    def __init__(self) -> None:
        self.rows = self.violating = self.without_text = self.without_label = self.without_time = 0
        self.times: tuple[Micros, ...] = ()
        self.texts: set[int] = set()

    def add(self, row: LabelledText) -> None:
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


def _write(draft: Path, rows: Iterator[LabelledText], source: str) -> None:
    """Authors are stored as hashes: training needs to know which texts share an author, not who it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            cells = [_cells(row, source) for row in batch]
            arrays = [
                pa.array(values, each.type) for values, each in zip(zip(*cells, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _cells(row: LabelledText, source: str) -> tuple[object, ...]:
    maker = None if row.author is None else number(f"{source}:{row.author}")
    return row.text, row.violating, row.weight, row.time, maker, row.target, row.id


def _read(path: Path) -> list[LabelledRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=_schema().names, partitioning=None).cast(_schema())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, OSError, ValueError) as error:
        raise InvalidInput(
            f"The imported labels can't be read: {type(error).__name__}.",
            field=str(path),
            remedy="Import the file again (leads train --csv), or remove the stored copy.",
        ) from error
    texts, violating, weights, times, makers, targets, _ = (column.to_pylist() for column in table.columns)
    source, ranks = f"{FILE}{path.stem}", _ranks(times)
    return [
        LabelledRow(text, verdict, source, rank, text_hash(text), weight, maker, None, target)
        for text, verdict, rank, weight, maker, target in zip(
            texts, violating, ranks, weights, makers, targets, strict=True
        )
    ]


def _ranks(times: Sequence[Micros | None]) -> list[int | None]:
    """The rank of each time among the distinct times."""
    known = np.unique(np.array([time for time in times if time is not None], dtype=np.int64))
    return [None if time is None else int(np.searchsorted(known, time)) for time in times]

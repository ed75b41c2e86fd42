"""Imported label files as they are stored under `LEADS_HOME`: one Parquet file per harm and name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from leads.clock import Micros
from leads.errors import InvalidInput, NotFound
from leads.files import in_turn, sync_folder, write_atomic
from leads.settings import Settings
from leads.text import text_hash
from training.data.labelled_rows import FILE, number
from training.data.own_labels_csv import LabelledText

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

# The command that imports labels, for errors and next steps.
IMPORT = "leads labels import HARM FILE --text COLUMN --label COLUMN"
_ORIGIN = b"lead-serving"
# Rows written at once, to bound memory.
_BATCH = 20_000


class Origin(msgspec.Struct, frozen=True):
    """Where a stored file's labels come from.

    Args:
        imported_at: when they were imported, µs.
        added_at: when labels were first imported under this name, µs. Replacing them doesn't change it.
        path: the file they were read from; empty if it isn't known.
        columns: names of its columns by role.
        digest: equal for equal files that are read in the same way; empty if it isn't known.
    """

    imported_at: Micros
    added_at: Micros
    path: str = ""
    columns: dict[str, str] = {}
    digest: str = ""


class LabelFile(NamedTuple):
    """A stored file. `first` and `last` are the earliest and latest time of its rows, µs; None if no row has one."""

    harm: str
    name: str
    path: Path
    origin: Origin
    rows: int
    violating: int
    first: Micros | None
    last: Micros | None


class StoredLabel(NamedTuple):
    """One row of a stored file.

    Args:
        file: name of the file.
        imported_at: when that file was imported, µs.
        group: equal for equal texts.
        order: rank of `time` among the times in the file; None without a time.
        since: when this text was first imported with this label, by any file of the harm, µs.
        line: where the row begins in the imported file; None if it isn't known.
    """

    text: str
    violating: bool
    weight: float
    time: Micros | None
    maker: int | None
    target: str | None
    id: str | None
    line: int | None
    since: Micros
    group: int
    order: int | None
    file: str
    imported_at: Micros


def folder_of(settings: Settings, harm: str) -> Path:
    """The folder of a harm's imported labels."""
    return _root(settings) / harm


def changing(settings: Settings) -> AbstractContextManager[None]:
    """Hold the lock under which stored files are written and removed."""
    return in_turn(_root(settings) / ".lock")


def harms_with_files(settings: Settings) -> list[str]:
    """The harms that have stored files, whether or not `policies.yaml` declares them."""
    return sorted({path.parent.name for path in _root(settings).glob("*/*.parquet")})


def label_files(settings: Settings, harm: str) -> list[LabelFile]:
    """A harm's stored files, in the order in which their names were first imported.

    Raises:
        InvalidInput: a stored file can't be read.
    """
    found = [_describe(harm, path) for path in folder_of(settings, harm).glob("*.parquet")]
    return sorted(found, key=lambda each: (each.origin.added_at, each.name))


def check_harm(settings: Settings, harm: str) -> None:
    """Check that a harm has stored files.

    Raises:
        NotFound: it has none; names the harms that have.
    """
    harms = harms_with_files(settings)
    if harm not in harms:
        raise NotFound(
            f"{harm} has no imported labels.",
            field="HARM",
            remedy=f"Harms with imported labels: {', '.join(harms) or 'none'}. To import some: {IMPORT}",
        )


def find(settings: Settings, harm: str, name: str) -> LabelFile:
    """One stored file.

    Args:
        name: also with `file:` before it, as sources are shown.

    Raises:
        NotFound: the harm has no stored files, or none of this name; names those that exist.
        InvalidInput: a stored file can't be read.
    """
    check_harm(settings, harm)
    files = label_files(settings, harm)
    for each in files:
        if each.name == name.removeprefix(FILE):
            return each
    raise NotFound(
        f"{harm} has no imported labels named {name!r}.",
        field="NAME",
        remedy=f"Use one of {', '.join(each.name for each in files)}.",
    )


def remove(settings: Settings, harm: str, name: str) -> LabelFile:
    """Remove a stored file and return what it was. The file that it was imported from stays.

    Raises:
        NotFound, InvalidInput: as `find`.
    """
    with changing(settings):
        found = find(settings, harm, name)
        found.path.unlink()
        sync_folder(found.path.parent)
    return found


def write_labels(path: Path, origin: Origin, rows: Iterable[tuple[LabelledText, Micros]]) -> None:
    """Write a stored file, atomically: rows, each with when its text was first imported with this label.

    Authors are stored as hashes: training needs to know which texts share an author, not who it is.
    """
    write_atomic(path, lambda draft: _write(draft, origin, iter(rows)))


def read_labels(file: LabelFile) -> list[StoredLabel]:
    """The rows of a stored file, in the imported file's order.

    Raises:
        InvalidInput: it can't be read.
    """
    table = _read(file.path)
    cells = {name: table[name].to_pylist() for name in table.column_names}
    since = [file.origin.imported_at if at is None else at for at in cells["since"]]
    groups, orders = [text_hash(text) for text in cells["text"]], _ranks(cells["time"])
    names = ("text", "violating", "weight", "time", "maker", "target", "id", "line")
    columns = (*(cells[name] for name in names), since, groups, orders)
    here = file.name, file.origin.imported_at
    return [StoredLabel._make((*row, *here)) for row in zip(*columns, strict=True)]


def _root(settings: Settings) -> Path:
    return settings.root / "labels"


def _schema() -> pa.Schema:
    import pyarrow as pa

    always = {"text": pa.string(), "violating": pa.bool_(), "weight": pa.float64()}
    maybe = {"time": pa.int64(), "maker": pa.uint64(), "target": pa.string(), "id": pa.string()}
    maybe |= {"line": pa.int64(), "since": pa.int64()}
    fields = [pa.field(name, kind, nullable=False) for name, kind in always.items()]
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in maybe.items())])


def _write(draft: Path, origin: Origin, rows: Iterator[tuple[LabelledText, Micros]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema().with_metadata({_ORIGIN: msgspec.json.encode(origin)})
    with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _BATCH)):
            cells = [_cells(row, since) for row, since in batch]
            arrays = [
                pa.array(values, each.type) for values, each in zip(zip(*cells, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _cells(row: LabelledText, since: Micros) -> tuple[object, ...]:
    # One author writes the same hash in every file, so that their texts stay in one fold.
    maker = None if row.author is None else number(f"{FILE}{row.author}")
    return row.text, row.violating, row.weight, row.time, maker, row.target, row.id, row.line, since


def _describe(harm: str, path: Path) -> LabelFile:
    import pyarrow.compute as pc

    table = _read(path, "violating", "time")
    raw = (table.schema.metadata or {}).get(_ORIGIN)
    written = path.stat().st_mtime_ns // 1_000
    times = pc.min_max(table["time"]).as_py()
    return LabelFile(
        harm=harm,
        name=path.stem,
        path=path,
        origin=msgspec.json.decode(raw, type=Origin) if raw else Origin(written, written),
        rows=table.num_rows,
        violating=int(pc.sum(table["violating"]).as_py() or 0),
        first=times["min"],
        last=times["max"],
    )


def _read(path: Path, *columns: str) -> pa.Table:
    """All columns of a stored file, or those named. Columns that an earlier release didn't write are empty."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            known = [name for name in columns or _schema().names if name in file.schema_arrow.names]
            table = file.read(columns=known)
        wanted = pa.schema([_schema().field(name) for name in columns or _schema().names])
        for name in {"line", "since"}.intersection(wanted.names).difference(known):
            table = table.append_column(name, pa.nulls(table.num_rows, pa.int64()))
        return table.select(wanted.names).cast(wanted.with_metadata(table.schema.metadata))
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, OSError, ValueError, KeyError) as error:
        raise InvalidInput(
            f"The imported labels can't be read: {type(error).__name__}.",
            field=str(path),
            remedy="Remove the stored file, then import the labels again: leads labels import HARM FILE",
        ) from error


def _ranks(times: list[Any]) -> list[int | None]:
    """The rank of each time among the distinct times."""
    known = np.unique(np.array([time for time in times if time is not None], dtype=np.int64))
    return [None if time is None else int(np.searchsorted(known, time)) for time in times]

"""The database's tables as Parquet files, whichever database they come from or go to.

They are read in one transaction that sees one moment of the database, and read and written in batches, so memory
doesn't grow with the tables. The state of workers is left out, because it belongs to the feature rows of a home, which
are derived from the event log again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.db.access import uses  # noqa: F401
from leads.db.engine import reading
from leads.db.monitoring import tables as monitoring_tables  # noqa: F401
from leads.db.outbox import tables as outbox_tables  # noqa: F401
from leads.db.progress import feature_generations  # noqa: F401
from leads.db.progress.fold_tables import fold_states, fold_values
from leads.db.tables import log_head, metadata, rank_basis
from leads.errors import Conflict, InvalidInput

_LEFT_OUT = {fold_states.name, fold_values.name}
# Migrations fill it.
_FILLED = {rank_basis.name}
_BATCH = 5_000
# A file ends after so many rows or bytes.
_FILE_ROWS, _FILE_BYTES = 500_000, 256 << 20

# Adds a file of a table: its name below the folder of the database, and the function that fills it.
AddFile = Callable[[str, Callable[[Path], object]], None]
# Called with the number of rows done.
OnRows = Callable[[int], None]


def snapshot(engine: Engine) -> AbstractContextManager[Connection]:
    """A connection that sees the database as it is at its first query, and takes no locks that others wait for."""
    return _repeatable(engine) if engine.dialect.name == "postgresql" else reading(engine)


@contextmanager
def _repeatable(engine: Engine) -> Iterator[Connection]:
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
        yield connection


def stored_tables(connection: Connection) -> list[sa.Table]:
    """The tables that a backup holds, with the columns that they have in this database, whatever its revision."""
    known = set(sa.inspect(connection).get_table_names())
    names = [name for name in metadata.tables if name in known and name not in _LEFT_OUT]
    found = sa.MetaData()
    found.reflect(connection, only=names)
    return [found.tables[name] for name in sorted(names)]


def head_offset(connection: Connection) -> int:
    """The offset of the newest event."""
    return connection.execute(sa.select(log_head.c.offset)).scalar() or 0


def database_size(connection: Connection) -> int:
    """The bytes that the database takes."""
    if connection.dialect.name == "postgresql":
        query = "SELECT pg_database_size(current_database())"
    else:
        query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    return int(connection.execute(sa.text(query)).scalar() or 0)


def export(connection: Connection, add: AddFile, *, on_rows: OnRows = lambda rows: None) -> dict[str, int]:
    """Write every table; returns the number of rows by table."""
    counts: dict[str, int] = {}
    for table in stored_tables(connection):
        counts[table.name] = 0
        remaining = _counted(batches(connection, table), table.name, counts, on_rows)
        number = 0
        while (first := next(remaining, None)) is not None:
            number += 1
            add(f"{table.name}/{number:06d}.parquet", partial(_write, first=first, remaining=remaining))
    return counts


def _counted(
    read: Iterator[pa.RecordBatch], table: str, counts: dict[str, int], on_rows: OnRows
) -> Iterator[pa.RecordBatch]:
    for batch in read:
        counts[table] += batch.num_rows
        on_rows(sum(counts.values()))
        yield batch


def _write(path: Path, first: pa.RecordBatch, remaining: Iterator[pa.RecordBatch]) -> None:
    """Write batches up to the limits of a file."""
    rows = size = 0
    batch: pa.RecordBatch | None = first
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        while batch is not None:
            writer.write_batch(batch)
            rows += batch.num_rows
            size += batch.nbytes
            batch = next(remaining, None) if rows < _FILE_ROWS and size < _FILE_BYTES else None


def batches(connection: Connection, table: sa.Table) -> Iterator[pa.RecordBatch]:
    """The rows of a table, in the order of its key."""
    schema = pa.schema([(column.name, _arrow_type(column.type)) for column in table.columns])
    query = sa.select(*(_as_stored(column) for column in table.columns)).order_by(*table.primary_key)
    result = connection.execute(query, execution_options={"yield_per": _BATCH})
    for rows in result.partitions():
        columns = zip(*rows, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _as_stored(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """JSON as text. SQLite stores JSON that is only a number as a number."""
    return sa.cast(column, sa.Text).label(column.name) if isinstance(column.type, sa.JSON) else column


def _arrow_type(kind: sa.types.TypeEngine[Any]) -> pa.DataType:
    for type_, arrow in (
        (sa.Boolean, pa.bool_()),
        (sa.Integer, pa.int64()),
        ((sa.Float, sa.Numeric), pa.float64()),
        (sa.LargeBinary, pa.large_binary()),
    ):
        if isinstance(kind, type_):
            return arrow
    return pa.large_string()


def load_file(connection: Connection, table: sa.Table, path: Path, where: str) -> int:
    """Insert the rows of a file of `export`; returns their number.

    Args:
        where: the backup, for errors.

    Raises:
        InvalidInput: the file has other columns than the table, or values that this database can't store.
    """
    rows = 0
    with pq.ParquetFile(path) as file:
        if set(file.schema_arrow.names) != set(table.columns.keys()):
            raise InvalidInput(
                f"The columns of the table {table.name} in the backup are not those of the database.",
                field=where,
                remedy="Restore into a database without tables.",
            )
        for batch in file.iter_batches(_BATCH):
            insert(connection, table, batch)
            rows += batch.num_rows
    return rows


def insert(connection: Connection, table: sa.Table, batch: pa.RecordBatch) -> None:
    """Insert rows, as fast as the database's driver can.

    Raises:
        InvalidInput: this database can't store a value: PostgreSQL's texts can't contain the character NUL.
    """
    rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
    quoted = connection.dialect.identifier_preparer.quote_identifier
    names = ", ".join(quoted(name) for name in batch.schema.names)
    if connection.dialect.name != "postgresql":
        marks = ", ".join("?" * batch.num_columns)
        connection.exec_driver_sql(f"INSERT INTO {quoted(table.name)} ({names}) VALUES ({marks})", list(rows))
        return
    import psycopg

    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {quoted(table.name)} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.DataError as error:
        raise InvalidInput(
            f"The table {table.name} contains a value that PostgreSQL can't store: {_reason(error)}.",
            field=table.name,
            remedy="Correct the row in the original database.",
        ) from error


def _reason(error: Any) -> str:
    return str(error.diag.message_primary or error)


def check_empty(connection: Connection, where: str) -> None:
    """Check that no table holds rows, except for those that migrations fill; those are emptied.

    Raises:
        Conflict: one does.
    """
    for table in stored_tables(connection):
        if table.name in _FILLED:
            connection.execute(sa.delete(table))
        elif connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            raise Conflict(
                f"The database isn't empty: its table {table.name} has rows.",
                field=where,
                remedy="Name a new database.",
            )


def check_counts(connection: Connection, expected: Mapping[str, int], where: str) -> None:
    """Check that every table has as many rows as expected.

    Raises:
        InvalidInput: one hasn't.
    """
    for table in stored_tables(connection):
        found = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() or 0
        if found != expected.get(table.name, 0):
            raise InvalidInput(
                f"The table {table.name} has {found:,} rows after the restore, not {expected.get(table.name, 0):,}.",
                field=where,
                remedy="Use another backup.",
            )


def continue_numbers(connection: Connection) -> None:
    """Let PostgreSQL continue the numbers that it gives after the highest ones there are."""
    if connection.dialect.name != "postgresql":
        return
    for table in stored_tables(connection):
        for column in table.primary_key:
            name = {"table": table.name, "column": column.name}
            sequence = connection.execute(sa.text("SELECT pg_get_serial_sequence(:table, :column)"), name).scalar()
            if sequence:
                highest = connection.execute(sa.select(sa.func.max(column))).scalar()
                given = {"sequence": sequence, "value": highest or 1, "used": highest is not None}
                connection.execute(sa.text("SELECT setval(CAST(:sequence AS regclass), :value, :used)"), given)
    connection.execute(sa.text("ANALYZE"))

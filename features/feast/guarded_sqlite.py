"""Feast's SQLite online store, changed so that an older row never overwrites a newer one.

Feast's own store keeps whatever is written last and truncates times to whole seconds, so a replay, or `feast
materialize` running next to the worker, could restore old rows. Feast loads this class by its dotted name, so Feast's
command line writes through it too.

Feast's converter for `event_ts` reads whole seconds only, so an extra column, `event_us`, holds the exact time. Feast's
statements don't mention it, so Feast can still read the table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from feast import Entity, FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id, extract_text_and_num
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.utils import make_tzaware

from features.sqlite_damage import online_writes
from features.state.sqlite_files import Checkpoints, set_up_writer
from leads import clock
from leads.clock import Micros

_BUSY_S = 30
_CACHE_KIB = 16 * 1024
# How many rows are written before a checkpoint.
_CHECKPOINT = 10_000
_QUARTER: Micros = 15 * clock.MINUTE

# Entity key, feature name, serialised value, its text if it is a string, event time.
RawRow = tuple[bytes, str, bytes, str | None, Micros]

# The newest row wins for the whole entity, not feature by feature: an older row may have a feature that the newer one
# lacks, and the two must not be mixed. Features written together share an event time, so all are written or none.
_UPSERT = """
INSERT INTO {table} (entity_key, feature_name, value, value_text, event_us, event_ts)
SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (
    SELECT 1 FROM {table} WHERE entity_key = ?1 AND coalesce(event_us, event_ts * 1000000) > ?5
)
ON CONFLICT (entity_key, feature_name) DO UPDATE SET
    value = excluded.value, value_text = excluded.value_text, event_us = excluded.event_us,
    event_ts = excluded.event_ts, created_ts = NULL
"""


_CREATE = """
CREATE TABLE IF NOT EXISTS {table} (
    entity_key BLOB, feature_name TEXT, value BLOB, value_text TEXT, vector_value BLOB, event_ts timestamp,
    created_ts timestamp, event_us INTEGER, PRIMARY KEY (entity_key, feature_name)
) WITHOUT ROWID
"""


class GuardedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):  # type: ignore[misc]
    """Feast's SQLite configuration; only `path` is used."""

    type: Literal["features.feast.guarded_sqlite.GuardedSqliteOnlineStore"] = (
        "features.feast.guarded_sqlite.GuardedSqliteOnlineStore"
    )


class GuardedSqliteOnlineStore(SqliteOnlineStore):  # type: ignore[misc]
    """Writers wait for each other; readers don't wait. Written rows survive the death of the process."""

    _own_checkpoints: Checkpoints | None = None

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Called by Feast. `data` holds entity key, values, event time and creation time, which is not stored."""
        self.write_rows(config, table, _raw_rows(config, data))
        if progress:
            progress(len(data))

    def write_rows(
        self, config: RepoConfig, table: FeatureView, rows: Iterable[RawRow], *, removed: Sequence[str] = ()
    ) -> None:
        """Write in one transaction. A row older than the entity's stored row is dropped; an equally old one is written.

        Args:
            rows: features grouped by entity; all features of an entity have the same event time.
            removed: features of these entities to delete.

        Raises:
            Unavailable: nothing was written.
        """
        name, given = _table(config, table), list(rows)
        checkpoints = self._checkpoints(config)
        checkpoints.wait()
        with online_writes(config.online_store.path), self._get_conn(config) as connection:
            connection.executemany(_UPSERT.format(table=name), ((*row, _feast_seconds(row[4])) for row in given))
            if removed:
                marks = ", ".join("?" * len(removed))
                connection.executemany(
                    f"DELETE FROM {name} WHERE entity_key = ? AND feature_name IN ({marks})",
                    ((row[0], *removed) for row in given),
                )
        checkpoints.committed(len(given))

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Create the tables as Feast does, with a column for the exact time, and remove those of views that are gone.

        An entity's values lie in the table's only tree. Feast's tables have three: the rows, the primary key, and an
        index of the entities, which the primary key makes unnecessary.
        """
        with online_writes(config.online_store.path):
            connection = self._get_conn(config)
            for table in tables_to_keep:
                name = _table(config, table)
                connection.execute(_CREATE.format(table=name))
                if "event_us" not in {column[1] for column in connection.execute(f"PRAGMA table_info({name})")}:
                    connection.execute(f"ALTER TABLE {name} ADD COLUMN event_us INTEGER")
                connection.execute(f'DROP INDEX IF EXISTS {name[:-1]}_ek"')
            for table in tables_to_delete:
                connection.execute(f"DROP TABLE IF EXISTS {_table(config, table)}")

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Drop the tables. Feast would delete the file, and open readers would keep reading the deleted file."""
        with online_writes(config.online_store.path), self._get_conn(config) as connection:
            for table in tables:
                connection.execute(f"DROP TABLE IF EXISTS {_table(config, table)}")

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        fresh = self._conn is None
        connection: sqlite3.Connection = super()._get_conn(config)
        if fresh:
            connection.execute(f"PRAGMA busy_timeout = {_BUSY_S * 1_000}")
            set_up_writer(connection, cache_kib=_CACHE_KIB)
        return connection

    def _checkpoints(self, config: RepoConfig) -> Checkpoints:
        """Those of this store's only file."""
        if self._own_checkpoints is None:
            self._own_checkpoints = Checkpoints(Path(self._get_db_path(config)), every=_CHECKPOINT)
        return self._own_checkpoints


def _raw_rows(
    config: RepoConfig, data: list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]
) -> Iterator[RawRow]:
    for entity, values, event_time, _ in data:
        key = serialize_entity_key(entity, config.entity_key_serialization_version)
        at = clock.from_datetime(make_tzaware(event_time))
        for name, value in values.items():
            yield key, name, value.SerializeToString(), extract_text_and_num(value, False)[0], at


def _table(config: RepoConfig, table: FeatureView) -> str:
    name: str = compute_table_id(config.project, table, config.registry.enable_online_feature_view_versioning)
    return '"' + name.replace('"', '""') + '"'


def _feast_seconds(at: Micros) -> int:
    """The value that Feast stores and reads back: it treats the UTC time as local time."""
    return at // clock.SECOND + _shift(at // _QUARTER)


@lru_cache(maxsize=4_096)
def _shift(quarter: int) -> int:
    """The difference to the UTC time, which is the same for a quarter of an hour."""
    start = quarter * _QUARTER
    return int(clock.to_datetime(start).replace(tzinfo=None).timestamp()) - start // clock.SECOND

"""Feature views of the user's own: their declarations, Feast definitions, and Parquet files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy.engine import Engine

from features.declared import generations
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.own_views import with_views
from features.registration.loading import declared_with_views
from features.registration.materializing import materialize
from features.registration.registering import register
from features.views.declaration import ColumnDeclaration, ViewDeclaration
from leads.settings import Settings
from tests.support.features.history import START

# Account, timestamp and availability in µs, level, refunds, whether it is a partner.
TrustRow = tuple[str, int, int, int | None, float | None, bool | None]
COLUMNS = {
    "level": ColumnDeclaration(dtype="int64", meaning="trust level", unit="level"),
    "refunds": ColumnDeclaration(dtype="float64", meaning="refunds in 30 days", unit="count"),
    "is_partner": ColumnDeclaration(dtype="bool", meaning="is a partner", unit="flag"),
}


def trust(**changes: object) -> ViewDeclaration:
    """A view about accounts."""
    plain = ViewDeclaration(
        join_key="account_id",
        columns=COLUMNS,
        path="/data/trust.parquet",
        source="trust_file",
        timestamp="event_timestamp",
        available="created",
        push_source="trust_push",
    )
    return plain.model_copy(update=changes)


def features_with(**views: ViewDeclaration) -> FeatureSet:
    """The built-in features and these views."""
    return with_views(BUILTIN, views)


DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, PushSource, ValueType
from feast.types import Bool, Float64, Int64, String

listener = Entity(name="listener", join_keys=["account_id"], value_type=ValueType.STRING)
trust_file = FileSource(
    name="trust_file",
    path="trust.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)
trust = FeatureView(
    name="trust",
    entities=[listener],
    ttl=timedelta(days=30),
    schema=[
        Field(name="account_id", dtype=String),
        Field(name="level", dtype=Int64, description="trust level", tags={"unit": "level"}),
        Field(name="refunds", dtype=Float64, description="refunds in 30 days", tags={"unit": "count"}),
        Field(name="is_partner", dtype=Bool, description="is a partner", tags={"unit": "flag"}),
        Field(name="tier", dtype=String),
    ],
    source=PushSource(name="trust_push", batch_source=trust_file),
)
"""


def write_definitions(folder: Path, text: str = DEFINITIONS) -> Path:
    """A folder with Feast definitions; returns it."""
    folder.mkdir(exist_ok=True)
    (folder / "trust.py").write_text(text)
    return folder


def write_history(folder: Path, rows: Sequence[TrustRow]) -> Path:
    """Write the Parquet source of the view; returns its path."""
    keys, at, available, level, refunds, partner = zip(*rows, strict=True)
    time = pa.timestamp("us", tz="UTC")
    table = pa.table(
        {
            "account_id": pa.array(keys, pa.string()),
            "event_timestamp": pa.array(at, pa.int64()).cast(time),
            "created": pa.array(available, pa.int64()).cast(time),
            "level": pa.array(level, pa.int64()),
            "refunds": pa.array(refunds, pa.float64()),
            "is_partner": pa.array(partner, pa.bool_()),
            "tier": pa.array(["gold"] * len(rows), pa.string()),
        }
    )
    path = folder / "trust.parquet"
    pq.write_table(table, path, row_group_size=50)
    return path


def random_history(n: int, start: int, end: int, *, seed: int = 3, late: bool = True) -> list[TrustRow]:
    """Rows of 20 accounts with times between start and end (µs), some equal; some become available later."""
    rng = random.Random(seed)
    rows: list[TrustRow] = []
    for _ in range(n):
        at = rng.choice([rng.randrange(start, end), start + (end - start) // 20 * rng.randrange(20)])
        available = at + (rng.choice([0, 0, rng.randrange((end - start) // 5)]) if late else 0)
        level = rng.choice([None, rng.randrange(-3, 300)])
        rows.append(
            (f"a{rng.randrange(20)}", at, available, level, rng.choice([None, rng.random() * 9]), rng.random() < 0.5)
        )
    return rows


def compute_values(settings: Settings, engine: Engine, now: int, *, written: bool = True) -> None:
    """Do what a job does: append 40 new values to the Parquet source, available from now on, and write them online.

    Args:
        now: µs.
        written: whether to write them online.
    """
    folder = settings.feature_views
    assert folder is not None
    before = pq.read_table(folder / "trust.parquet")
    rows = [(key, at, now, *values) for key, at, _, *values in random_history(40, START, now, seed=now)]
    write_history(folder, rows)
    pq.write_table(pa.concat_tables([before, pq.read_table(folder / "trust.parquet")]), folder / "trust.parquet")
    if written:
        materialize(settings, generations.live(engine).views, clock_=lambda: now)


def apply_views(settings: Settings, engine: Engine) -> None:
    """Do what `leads features apply` does if only own views change."""
    declared, views = declared_with_views(settings)
    register(settings, views)
    with engine.begin() as connection:
        generations.redeclare(connection, generations.live_generation(connection).number, declared)

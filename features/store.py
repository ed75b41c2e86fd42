"""Feast: what is declared, where it lives, and how to open it. Feast takes seconds to import, so only here."""

from __future__ import annotations

import os
import sqlite3
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from features.columns import BY_NAME, FEATURE_SERVICE, STORED
from features.online_stores import PROJECT, redis_address
from features.rows import LAYOUTS
from features.segments import JOIN_KEYS, packed_name
from leads.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore, RepoConfig

NAMED_SERVICE = "leads_named_v1"


def definitions(settings: Settings) -> list[Any]:
    """Every Feast object: entities, packed views, the on-demand view that names the features, services."""
    import_feast()
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
    from feast.data_format import ParquetFormat
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Array, Float32, Int64, String

    from features.named import on_demand_body

    entities, views = [], []
    for layout in LAYOUTS:
        key = JOIN_KEYS[layout.view]
        entity = Entity(name=layout.view, join_keys=[key], value_type=ValueType.STRING)
        schema = [Field(name=key, dtype=String), Field(name=packed_name(layout.view), dtype=Array(Float32))]
        schema += [Field(name=name, dtype=String) for name in layout.links]
        source = FileSource(
            name=f"{layout.view}_segments",
            path=str(settings.features_dir / "segments" / layout.view),
            timestamp_field="visible_at",
            file_format=ParquetFormat(),
        )
        entities.append(entity)
        views.append(
            FeatureView(
                name=layout.view,
                entities=[entity],
                # Ages are checked by the contract: Feast's own check drops whole rows offline and nothing online.
                ttl=timedelta(0),
                schema=schema,
                source=source,
                online=True,
            )
        )

    instant = RequestSource(name="instant", schema=[Field(name="as_of", dtype=Int64)])

    named_view = on_demand_feature_view(
        name="named",
        sources=[*views, instant],
        schema=[Field(name=feast_name(feature.name), dtype=Float32) for feature in STORED],
        mode="pandas",
    )(on_demand_body())
    services = [
        FeatureService(name=FEATURE_SERVICE, features=list(views)),
        FeatureService(name=NAMED_SERVICE, features=[named_view]),
    ]
    return [*entities, *views, named_view, *services]


def feast_name(name: str) -> str:
    """`item.reports_24h` as Feast wants it: `item_reports_24h`."""
    assert name in BY_NAME
    return name.replace(".", "_")


def repo_config(settings: Settings) -> RepoConfig:
    """Where Feast keeps what, by the settings."""
    import_feast()
    from feast import RepoConfig

    online: dict[str, Any]
    if settings.online_store == "redis":
        online = {"type": "redis", "connection_string": redis_address(settings)}
    else:
        online = {"type": "sqlite", "path": str(settings.features_dir / "online.db")}
    return RepoConfig(
        project=PROJECT,
        provider="local",
        registry={"path": str(settings.features_dir / "registry.db"), "cache_ttl_seconds": 60},
        online_store=online,
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
    )


@contextmanager
def known_warnings_ignored() -> Iterator[None]:
    """Feast warns that on-demand views are experimental, and calls ibis, which calls a deprecated part of DuckDB."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
        yield


def import_feast() -> None:
    """Import Feast without run-time type checks of its own classes: rewriting their syntax trees takes 5 of its 7 s."""
    os.environ.setdefault("FEAST_USAGE", "False")
    if "feast" in sys.modules:
        return
    import typeguard

    checked: Any = typeguard.typechecked
    typeguard.typechecked = _unchecked
    try:
        import feast  # noqa: F401
    finally:
        typeguard.typechecked = checked


def _unchecked(target: Any = None, **_options: object) -> Any:
    return target if target is not None else lambda inner: inner


def open_store(settings: Settings, *, apply: bool = False) -> FeatureStore:
    """Feast's `FeatureStore` on the settings; with `apply`, everything declared is brought up to date first."""
    settings.features_dir.mkdir(parents=True, exist_ok=True)
    import_feast()
    from feast import FeatureStore

    store = FeatureStore(config=repo_config(settings))
    if apply:
        with known_warnings_ignored():
            store.apply(definitions(settings))
        if settings.online_store == "sqlite":
            with sqlite3.connect(settings.features_dir / "online.db") as connection:
                # Readers and the one writer don't wait for each other.
                connection.execute("PRAGMA journal_mode=WAL")
            connection.close()
    return store

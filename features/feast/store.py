"""Feast: what is declared, where it lives, and how to open it. Feast takes seconds to import, so only here."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from features.catalogue import BY_NAME, STORED
from features.evaluate.columns import FEATURE_SERVICE
from features.layout import LAYOUTS
from features.offline.segments import JOIN_KEYS, packed_name
from features.online.codec import PROJECT
from features.online.stores import online_config
from leads.errors import ConfigurationError
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

    from features.feast.on_demand import on_demand_body

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
    """Where Feast keeps what, by the settings.

    Raises:
        ConfigurationError: the online store or its options are none that Feast can use.
    """
    import_feast()
    from feast import RepoConfig
    from feast.errors import FeastError
    from pydantic import ValidationError

    online = online_config(settings)
    try:
        config = RepoConfig(
            project=PROJECT,
            provider="local",
            registry={"path": str(settings.features_dir / "registry.db"), "cache_ttl_seconds": 60},
            online_store=online,
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
    except ValidationError as error:
        # Not the error itself: it quotes what was given, and that may be a password.
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigurationError(
            f"Feast refuses the options of the online store {settings.online_store}: {wrong}.",
            field="LEADS_ONLINE_STORE_OPTIONS",
            remedy=f"Feast's documentation of the store {settings.online_store} lists its options.",
        ) from None
    except (FeastError, ImportError) as error:
        raise ConfigurationError(
            f"Feast can't load the online store {settings.online_store}: {error}.",
            field="LEADS_ONLINE_STORE",
            remedy="Install what it needs, for example feast[postgres], or name another.",
        ) from error
    return config


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
    return store


def online_store_of(store: FeatureStore) -> Any:
    """An `OnlineStore` of its own on the store's configuration."""
    from feast.infra.online_stores.helpers import get_online_store_from_config

    return get_online_store_from_config(store.config.online_store)

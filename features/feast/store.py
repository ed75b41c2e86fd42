"""Declares our Feast objects and opens the Feast store. Importing Feast takes seconds, so functions import it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from features.declared.feature_set import FeatureSet
from features.declared.generations import live_features
from features.evaluate.columns import FEATURE_SERVICE
from features.feast.online_config import PROJECT, online_config
from features.offline.segments import view_folder
from leads.errors import ConfigurationError
from leads.files import private_folder
from leads.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore, RepoConfig

NAMED_SERVICE = "leads_named_v1"


def definitions(settings: Settings, features: FeatureSet | None = None) -> list[Any]:
    """Every Feast object: entities, packed views, on-demand views with named features and with links, services.

    Args:
        features: by default, the live ones. Of others, there are only entities and packed views.
    """
    live = live_features(settings)
    features = features or live
    import_feast()
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, ValueType
    from feast.data_format import ParquetFormat
    from feast.on_demand_feature_view import on_demand_feature_view
    from feast.types import Bytes, Float32, Int64, String

    from features.feast.on_demand import links_body, on_demand_body

    entities, views = [], []
    for layout in features.layouts:
        key = layout.join_key
        entity = Entity(name=layout.view, join_keys=[key], value_type=ValueType.STRING)
        schema = [Field(name=key, dtype=String), Field(name=layout.packed_name, dtype=Bytes)]
        source = FileSource(
            name=f"{layout.table}_segments",
            path=str(view_folder(features.folder(settings) / "segments", layout.view)),
            timestamp_field="visible_at",
            file_format=ParquetFormat(),
        )
        entities.append(entity)
        views.append(
            FeatureView(
                name=layout.table,
                entities=[entity],
                # The contract checks ages: Feast's own check drops whole rows offline and nothing online.
                ttl=timedelta(0),
                schema=schema,
                source=source,
                online=True,
            )
        )

    if features is not live:
        return [*entities, *views]
    instant = RequestSource(name="instant", schema=[Field(name="as_of", dtype=Int64)])

    links = [
        on_demand_feature_view(
            name=f"{layout.table}_links",
            sources=[view],
            schema=[Field(name=name, dtype=String) for name in layout.links],
            mode="pandas",
        )(links_body(layout.view))
        for view, layout in zip(views, features.layouts, strict=True)
        if layout.links
    ]
    named_view = on_demand_feature_view(
        name="named",
        sources=[*views, instant],
        schema=[Field(name=feast_name(feature.name), dtype=Float32) for feature in features.without_views.defaults],
        mode="pandas",
    )(on_demand_body())
    services = [
        FeatureService(name=FEATURE_SERVICE, features=list(views)),
        FeatureService(name=NAMED_SERVICE, features=[named_view]),
    ]
    return [*entities, *views, *links, named_view, *services]


def feast_name(name: str) -> str:
    """A feature's name in Feast, for example `item_reports_24h` for `item.reports_24h`."""
    return name.replace(".", "_")


def repo_config(settings: Settings) -> RepoConfig:
    """Feast's configuration for these settings.

    Raises:
        ConfigurationError: Feast doesn't know the online store, or rejects its options.
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
            registry={
                "path": str(settings.features_dir / "registry.db"),
                "registry_store_type": "features.feast.registry_store.HomeRegistryStore",
                "cache_ttl_seconds": 60,
            },
            online_store=online,
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
        )
    except ValidationError as error:
        # Feast's error text isn't used: it quotes the options, which may contain a password.
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(
            f"Feast rejects the options of the online store {settings.online_store}: {wrong}.",
            field="LEADS_ONLINE_STORE_OPTIONS",
            remedy=f"See Feast's documentation of the {settings.online_store} online store for its options.",
        ) from None
    except (FeastError, ImportError) as error:
        raise ConfigurationError(
            f"Feast can't load the online store {settings.online_store}: {error}.",
            field="LEADS_ONLINE_STORE",
            remedy="Install the extra it needs, for example feast[postgres], or choose another store.",
        ) from error
    return config


@contextmanager
def known_warnings_ignored() -> Iterator[None]:
    """Ignore Feast's warning about on-demand views, and a DuckDB deprecation warning caused by its dependency ibis."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "On demand feature view", RuntimeWarning)
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
        yield


def import_feast() -> None:
    """Import Feast without typeguard's run-time checks of Feast's classes, which take 5 of the 7 seconds."""
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


def open_store(settings: Settings, *, apply: bool = False, features: FeatureSet | None = None) -> FeatureStore:
    """Feast's `FeatureStore` for these settings; `apply` first registers everything in `definitions`."""
    private_folder(settings.features_dir)
    import_feast()
    from feast import FeatureStore

    store = FeatureStore(config=repo_config(settings))
    if apply:
        with known_warnings_ignored():
            store.apply(definitions(settings, features))
    return store


def online_store_of(store: FeatureStore) -> Any:
    """A new `OnlineStore` with the store's configuration."""
    from feast.infra.online_stores.helpers import get_online_store_from_config

    return get_online_store_from_config(store.config.online_store)

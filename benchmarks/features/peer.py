"""Feast as its documentation shows it, to compare with: a view of scalar features over one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from features.feast.store import import_feast, known_warnings_ignored, repo_config
from leads.clock import Micros
from leads.settings import Settings

# A plausible size of a view without packing; a packed row holds more numbers than that.
SCALARS = 48
VIEW = "scalars"


def scalar_frame(n: int, at: Micros, seed: int = 0) -> Any:
    """`n` accounts, `a0` onwards, with random features as of `at`."""
    import pandas as pd

    values = np.random.default_rng(seed).random((n, SCALARS)).astype("float32")
    frame = pd.DataFrame(values, columns=scalar_names())
    frame["account_id"] = [f"a{i}" for i in range(n)]
    frame["visible_at"] = pd.Timestamp(at, unit="us", tz="UTC")
    return frame


def scalar_names() -> list[str]:
    """The features' names."""
    return [f"f{j}" for j in range(SCALARS)]


def scalar_store(settings: Settings, folder: Path, frame: Any) -> Any:
    """Feast's `FeatureStore` with the view, on the settings' kind of online store; for SQLite that is Feast's own.

    Args:
        folder: where the view's file is written.
    """
    import_feast()
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, String

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scalars.parquet"
    frame.to_parquet(path, coerce_timestamps="us", allow_truncated_timestamps=True)
    store = FeatureStore(config=_config(settings, folder / "peer.db"))
    entity = Entity(name="account", join_keys=["account_id"], value_type=ValueType.STRING)
    schema = [Field(name="account_id", dtype=String), *(Field(name=name, dtype=Float32) for name in scalar_names())]
    source = FileSource(name=VIEW, path=str(path), timestamp_field="visible_at")
    with known_warnings_ignored():
        store.apply([entity, FeatureView(name=VIEW, entities=[entity], schema=schema, source=source, online=True)])
    return store


def _config(settings: Settings, database: Path) -> Any:
    """The platform's own configuration, but for another project and, with SQLite, for Feast's own store."""
    from feast import RepoConfig

    ours = repo_config(settings)
    on_sqlite = settings.online_store == "sqlite"
    return RepoConfig(
        project="peer",
        provider=ours.provider,
        registry=ours.registry_config,
        online_store={"type": "sqlite", "path": str(database)} if on_sqlite else ours.online_config,
        offline_store=ours.offline_config,
        entity_key_serialization_version=ours.entity_key_serialization_version,
    )

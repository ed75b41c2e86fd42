"""The peer of the feature benchmarks: Feast as its documentation has it, a view of scalar features over one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from features.feast.store import import_feast, known_warnings_ignored, repo_config
from leads.clock import Micros
from leads.settings import Settings

# What a view without packing would plausibly hold; a packed row holds more numbers than that.
SCALARS = 48
VIEW = "scalars"


def scalar_frame(n: int, at: Micros, seed: int = 0) -> Any:
    """`n` accounts, `a0` onwards, with random features of the instant `at`."""
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
    """Feast's `FeatureStore` with the view, on the settings' kind of online store, SQLite being Feast's own.

    Args:
        folder: where the frame becomes the view's file.
    """
    import_feast()
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
    from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig
    from feast.types import Float32, String

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scalars.parquet"
    frame.to_parquet(path, coerce_timestamps="us", allow_truncated_timestamps=True)
    config = repo_config(settings).model_copy(update={"project": "peer"})
    if settings.online_store == "sqlite":
        config = config.model_copy(update={"online_config": SqliteOnlineStoreConfig(path=str(folder / "peer.db"))})
        config._online_store = None
    store = FeatureStore(config=config)
    entity = Entity(name="account", join_keys=["account_id"], value_type=ValueType.STRING)
    schema = [Field(name="account_id", dtype=String), *(Field(name=name, dtype=Float32) for name in scalar_names())]
    source = FileSource(name=VIEW, path=str(path), timestamp_field="visible_at")
    with known_warnings_ignored():
        store.apply([entity, FeatureView(name=VIEW, entities=[entity], schema=schema, source=source, online=True)])
    return store

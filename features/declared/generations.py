"""The generations of features that the database records, and the one that is live.

A generation is built beside the live one: a worker folds the whole event log into rows of its own. Once every
partition's rows have caught up, it becomes live in one transaction.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from features.declared.builtin import BUILTIN
from features.declared.compile import Declarations, compile_features
from features.declared.feature_set import FeatureSet
from leads.db.engine import database_url, reading, unchecked_engine
from leads.db.tables import feature_generations
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.features import FeatureDeclarations, KeyDeclaration
from leads.settings import Settings
from leads.yaml_files import Strict

_last_live = BUILTIN
State = Literal["building", "live", "retired"]


class DeclaredFeatures(Strict):
    """What platform.yaml declares of features, as a generation records it.

    Args:
        units: the units of the fields that features read, by `kind.field` or `field`.
    """

    features: FeatureDeclarations
    keys: dict[str, KeyDeclaration]
    units: dict[str, str]


def compiled(declared: DeclaredFeatures, number: int) -> FeatureSet:
    """The generation's features: the built-in ones, and then those that are declared."""
    return compile_features(
        Declarations({**BUILT_IN_FEATURES, **declared.features}, declared.keys, declared.units), number
    )


@lru_cache(maxsize=8)
def _compiled(declared: str, number: int) -> FeatureSet:
    return compiled(DeclaredFeatures.model_validate_json(declared), number)


def features_of(connection: Connection, state: State = "live") -> FeatureSet | None:
    """The features of the generation in this state; None if there is none. While none is live, `BUILTIN` is."""
    found = connection.execute(
        sa.select(feature_generations.c.number, feature_generations.c.declared)
        .where(feature_generations.c.state == state)
        .order_by(feature_generations.c.number.desc())
        .limit(1)
    ).first()
    if found is not None:
        return _compiled(found.declared, found.number)
    return BUILTIN if state == "live" else None


def live(engine: Engine) -> FeatureSet:
    """The features that are live."""
    with reading(engine) as connection:
        return features_of(connection) or BUILTIN


def last_live() -> FeatureSet:
    """What `live_features` found last in this process: Feast calls some functions without any settings."""
    return _last_live


def live_features(settings: Settings) -> FeatureSet:
    """The features that are live in the settings' database. Without a database, the built-in ones."""
    global _last_live
    _last_live = _read(settings)
    return _last_live


def _read(settings: Settings) -> FeatureSet:
    url = database_url(settings)
    if url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists()):
        return BUILTIN
    engine = unchecked_engine(settings)
    try:
        if not sa.inspect(engine).has_table(feature_generations.name):
            return BUILTIN
        return live(engine)
    finally:
        engine.dispose()

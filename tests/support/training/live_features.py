"""Makes a generation with two declared features live, as `leads features apply` does once its rows have caught up."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from features.declared.feature_set import FeatureSet
from features.declared.generations import DeclaredFeatures, compiled, live
from leads.db.tables import feature_generations

# In every harm's contract, and in none.
OURS, OPTIONAL = "account.reports_made_24h", "item.reporters_24h"


def _declared(window: str) -> str:
    ours = {"count": "user_report", "by": "who", "window": window, "meaning": "reports it made in a day"}
    optional = {"distinct": "user_report.who", "window": "24h", "default": False, "meaning": "reporters in a day"}
    features = {OURS: ours, OPTIONAL: optional}
    return msgspec.json.encode({"features": features, "keys": {}, "units": {}}).decode()


def declared(window: str = "24h") -> FeatureSet:
    """The built-in features and the two. Another window is another declaration of `OURS`."""
    return compiled(DeclaredFeatures.model_validate_json(_declared(window)), 3)


def go_live(engine: Engine, number: int = 3, window: str = "24h") -> FeatureSet:
    """Retire the live generation, and let one with the two features be live instead."""
    with engine.begin() as connection:
        connection.execute(sa.update(feature_generations).values(state="retired"))
        row = {"number": number, "declared": _declared(window), "state": "live", "created_at": 0}
        connection.execute(sa.insert(feature_generations).values(row))
    return live(engine)

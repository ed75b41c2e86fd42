"""Makes a generation with two declared features live, as `leads features apply` does, but without any rows."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from features.declared import generations
from features.declared.feature_set import FeatureSet
from features.declared.generations import DeclaredFeatures, compiled, live
from features.partition import WHOLE

# In every harm's contract, and in none.
OURS, OPTIONAL = "account.reports_made_24h", "item.reporters_24h"


def declared(window: str = "24h") -> FeatureSet:
    """The built-in features and the two. Another window is another declaration of `OURS`."""
    return compiled(_declared(window), 3)


def go_live(engine: Engine, window: str = "24h") -> FeatureSet:
    """Let a generation with the two features be live."""
    with engine.begin() as connection:
        number = generations.begin(connection, _declared(window)).number
        generations.set_ready(connection, number, since=0)
        generations.report(connection, number, WHOLE, 0, 0, done=True)
        assert generations.go_live(connection, number, [WHOLE])
    return live(engine)


def _declared(window: str) -> DeclaredFeatures:
    ours = {"count": "user_report", "by": "who", "window": window, "meaning": "reports it made in a day"}
    optional = {"distinct": "user_report.who", "window": "24h", "default": False, "meaning": "reporters in a day"}
    return DeclaredFeatures.model_validate({"features": {OURS: ours, OPTIONAL: optional}})

"""Feature views of the user's own: their declarations, Feast definitions, and Parquet files."""

from __future__ import annotations

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.own_views import with_views
from features.views.declaration import ColumnDeclaration, ViewDeclaration

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

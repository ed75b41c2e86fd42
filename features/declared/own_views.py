"""Adds feature views of the user's own to the features of a generation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from features.declared.feature_set import Feature, FeatureSet
from features.formulas import Total
from features.views.declaration import ViewDeclaration
from features.views.layout import OwnView


def roles_by_join_key(features: FeatureSet) -> dict[str, str]:
    """The role that holds the key of each entity that an own view may be about, by join key."""
    roles = {layout.join_key: role for role, layout in features.roles.items() if layout not in features.views}
    return {join_key: role for join_key, role in roles.items() if not role.startswith("bucket")}


def with_views(features: FeatureSet, declared: Mapping[str, ViewDeclaration]) -> FeatureSet:
    """The features with those of own views after them.

    A view whose key is no longer declared is left out.
    """
    roles = roles_by_join_key(features)
    views = tuple(
        OwnView(f"view:{name}", (), (*one.columns,), name=name, source=roles[one.join_key], declaration=one)
        for name, one in declared.items()
        if one.join_key in roles
    )
    columns = (_feature(view, column) for view in views for column in view.columns)
    return replace(features, stored=(*features.stored, *columns), views=views)


def _feature(view: OwnView, column: str) -> Feature:
    one = view.declaration.columns[column]
    return Feature(
        f"{view.name}:{column}",
        one.unit,
        one.meaning,
        Total(column),
        one.default,
        view.declaration.definition(view.name, column),
        view.declaration.max_age_s,
    )

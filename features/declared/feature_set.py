"""The features of one generation: what rows hold, which rows are read for a subject, and the formulas that read them.

The built-in features alone are the first generation. `leads features apply` adds one with what platform.yaml declares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from features.declared.recipes import Recipe
from features.formulas import Computed, Formula, bases_of
from features.layout import FIRST_NUMBER, Layout
from features.views.layout import OwnView
from leads.platform.expressions import Expression, features_in
from leads.platform.features import in_order, reached
from leads.settings import Settings


class Feature(NamedTuple):
    """A feature computed from stored rows.

    Args:
        meaning: completes the sentence "The subject was flagged because of …".
        default: whether every harm's contract has it.
        definition: hash of how it is declared; empty for a built-in feature.
        max_age_s: maximum age of the value, unless a harm's rule sets another one.
    """

    name: str
    unit: str
    meaning: str
    formula: Formula
    default: bool = True
    definition: str = ""
    max_age_s: float | None = None

    @property
    def view(self) -> str:
        """The view whose rows it is read from: `account` for `account.plays_7d`, `view:trust` for `trust:level`."""
        own, colon, _ = self.name.partition(":")
        return f"view:{own}" if colon else self.name.partition(".")[0]


class Followed(NamedTuple):
    """A role whose key is a link in another role's row.

    Args:
        role: the role.
        source: the role whose row has the link.
        place: of the link among that row's links.
    """

    role: str
    source: str
    place: int


# Of the built-in features. Change it when their layouts change, or what the fold counts without a change of layout.
_FIRST_FINGERPRINT = "a0bd9b645318"
# A subject's own row, and the rows that an item's links lead to; a text falls into two buckets.
_LINKED = {"item": "item", "account": "account", "parent": "parent", "bucket_0": "bucket", "bucket_1": "bucket"}


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """A generation's features. Two are never equal.

    Args:
        number: of the generation; stored with each row.
        layouts: of all views, items first.
        followed: the roles beyond a subject's own row and an item's links.
        stored: the features, each after those that it is computed from, in the order of a contract.
        recipes: by kind of event and by what it is counted.
        declared_kinds: the declared kinds of events that features count, each with the ways in which it is counted.
        views: feature views of the user's own, whose rows no events change; each is a role.
    """

    number: int
    layouts: tuple[Layout, ...]
    followed: tuple[Followed, ...]
    stored: tuple[Feature, ...]
    recipes: Mapping[tuple[str, str], Sequence[Recipe]]
    declared_kinds: Mapping[str, tuple[str, ...]]
    views: tuple[OwnView, ...] = ()

    @cached_property
    def layout_of(self) -> dict[str, Layout]:
        """The layouts by view, with own views."""
        return {layout.view: layout for layout in (*self.layouts, *self.views)}

    @cached_property
    def roles(self) -> dict[str, Layout]:
        """The rows that are read for one subject, by role."""
        roles = {role: self.layout_of[view] for role, view in _LINKED.items()}
        roles |= {one.role: self.layout_of[one.role] for one in self.followed}
        return roles | {view.view: view for view in self.views}

    @cached_property
    def role_names(self) -> str:
        """The names of the roles, joined with commas, as predictions are logged."""
        return ",".join(self.roles)

    @cached_property
    def without_views(self) -> FeatureSet:
        """The features that are computed from events."""
        stored = tuple(feature for feature in self.stored if ":" not in feature.name)
        return replace(self, stored=stored, views=()) if self.views else self

    def folder(self, settings: Settings) -> Path:
        """Where the generation's segments, marks and embedded state are."""
        root = settings.features_dir
        return root if self.number == FIRST_NUMBER else root / f"generation-{self.number}"

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all layouts. Rows with another one must be derived again."""
        if self.number == FIRST_NUMBER:
            return _FIRST_FINGERPRINT
        said = f"{_FIRST_FINGERPRINT} {[(one.view, one.links, one.places) for one in self.layouts]!r}"
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    @cached_property
    def defaults(self) -> tuple[Feature, ...]:
        """The stored features that every harm's contract has."""
        return tuple(feature for feature in self.stored if feature.default)

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """The stored features by name."""
        return {feature.name: feature for feature in self.stored}

    def formulas_of(self, names: Iterable[str]) -> dict[str, Expression]:
        """The formulas that these features are computed with, each after those that it needs."""
        needed = {one: self._needs(one) for name in names for one in self.reached(name)}
        formulas = ((name, self.by_name[name].formula) for name in in_order(needed))
        return {name: formula.expression for name, formula in formulas if isinstance(formula, Computed)}

    def reached(self, name: str) -> set[str]:
        """The feature and all that it is computed from."""
        return reached(name, self._needs)

    def _needs(self, name: str) -> tuple[str, ...]:
        formula = self.by_name[name].formula
        return tuple(features_in(formula.expression)) if isinstance(formula, Computed) else ()

    def counts_declared(self, name: str) -> bool:
        """Whether the feature depends on events of kinds that platform.yaml declares."""
        reached = [self.by_name[one] for one in self.reached(name)]
        names = [(one.view, base[0]) for one in reached for base in bases_of(one.formula) if base]
        return any(name in self.layout_of[view].declared for view, name in names)

    def reads_own(self, name: str) -> bool:
        """Whether the feature depends on an item's own fields."""
        own = {(recipe.view, cell) for recipe in self.recipes.get(("item", "about"), ()) for cell, _ in recipe.own}
        reached = [self.by_name[one] for one in self.reached(name)]
        return any((one.view, base[0]) in own for one in reached for base in bases_of(one.formula) if base)

    @cached_property
    def own_fields(self) -> tuple[str, ...]:
        """The own fields of items that features read: `explicit`, or `genre=news` for whether it has this value."""
        recipes = self.recipes.get(("item", "about"), ())
        return tuple(dict.fromkeys(field for recipe in recipes for field in recipe.own_fields))

"""Compiles declarations of features into a `FeatureSet`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from features.declared.counted import Cell, Events, Needs
from features.declared.feature_set import Feature, FeatureSet, Followed
from features.declared.quotients import as_quotient
from features.declared.recipes import Recipe
from features.formulas import (
    Age,
    Computed,
    Count,
    DaysBefore,
    Distinct,
    Entropy,
    Formula,
    Latest,
    Peak,
    Quotient,
    Total,
)
from leads.platform import expressions, filters
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.expressions import Apply, Expression, Number, Ref
from leads.platform.features import FeatureDeclaration, FeatureDeclarations, KeyDeclaration, in_order, reached
from leads.platform.kinds import BUILT_IN_KINDS, default_by

ITEM, ACCOUNT, DEVICE = "item", "account", "device"
_VIEWS = (ITEM, ACCOUNT, "parent", "bucket", DEVICE)
_ITEM_LINKS = ("item_account", "item_parent", "item_bucket_0", "item_bucket_1")
_ACCOUNT_LINKS = ("account_device",)
_DEVICE_EVENT = ("play", "who", DEVICE)
_HOURS = {"24h": 24.0, "7d": 168.0, "90d": 2184.0}


class Declarations(NamedTuple):
    """What a generation is compiled from.

    Args:
        features: by name, in the order of a contract; the built-in ones come first, see `leads.platform.built_in`.
        keys: the further keys by which features count, by name.
        units: the units of the declared kinds' fields, by `kind.field`.
    """

    features: FeatureDeclarations
    keys: Mapping[str, KeyDeclaration]
    units: Mapping[str, str]


def compile_features(declared: Declarations, number: int) -> FeatureSet:
    """The features, valid as `leads.platform.declaration` checks them.

    Args:
        number: of the generation.
    """
    return _Compiler(declared).compiled(number)


class _Compiler:
    def __init__(self, declared: Declarations) -> None:
        self._declared = declared
        item_keys = [name for name, key in declared.keys.items() if key.of == ITEM]
        account_keys = [name for name, key in declared.keys.items() if key.of == ACCOUNT]
        links = {
            ITEM: (*_ITEM_LINKS, *(f"{ITEM}_{name}" for name in item_keys)),
            ACCOUNT: (*_ACCOUNT_LINKS, *(f"{ACCOUNT}_{name}" for name in account_keys)),
        }
        self._needs = {view: Needs(view, links.get(view, ())) for view in (*_VIEWS, *declared.keys)}
        self._followed = [Followed(DEVICE, ACCOUNT, 0)]
        # By event and row, the links that the event gives.
        self._links: dict[tuple[str, str, str], list[tuple[int, str]]] = {
            ("play", "who", ACCOUNT): [(0, DEVICE)],
        }
        for names, view, by, first in (
            (account_keys, ACCOUNT, "who", len(_ACCOUNT_LINKS)),
            (item_keys, ITEM, "about", len(_ITEM_LINKS)),
        ):
            for place, name in enumerate(names, first):
                kind, _, field = declared.keys[name].source.partition(".")
                self._links.setdefault((kind, by, view), []).append((place, field))
                self._followed.append(Followed(name, view, place))
        self._formulas: dict[str, Formula] = {}

    def compiled(self, number: int) -> FeatureSet:
        features = self._declared.features
        for name in in_order({name: one.needs for name, one in features.items()}):
            self._formulas[name] = self._formula(name, features[name])
        # Rows are laid out in the order of the declarations, whatever is computed from what.
        self._needs = {view: Needs(view, needs.links) for view, needs in self._needs.items()}
        for name, one in features.items():
            self._formula(name, one)
        return FeatureSet(
            number,
            tuple(needs.layout(number) for needs in self._needs.values()),
            tuple(self._followed),
            tuple(self._feature(name, one) for name, one in features.items()),
            self._recipes(),
            self._declared_kinds(),
        )

    def _feature(self, name: str, one: FeatureDeclaration) -> Feature:
        return Feature(name, self._unit(one), one.meaning, self._formulas[name], one.default, self._definition(name))

    def _unit(self, one: FeatureDeclaration) -> str:
        source = one.source and f"{one.kind}.{one.source}"
        return one.own_unit or self._declared.units.get(source or one.field or "", "")

    def _definition(self, name: str) -> str:
        """A hash of how a declared feature is computed, with the features that it is computed from and their keys."""
        if name in BUILT_IN_FEATURES:
            return ""
        features = self._declared.features
        needed = sorted(reached(name, lambda one: features[one].needs) - BUILT_IN_FEATURES.keys())
        views = {one.partition(".")[0] for one in needed}
        said = [(one, self._said(one.partition(".")[0], features[one])) for one in needed]
        keys = {view: key.model_dump(exclude={"title"}) for view, key in self._declared.keys.items() if view in views}
        raw = msgspec.json.encode([said, keys], order="sorted")
        return hashlib.sha256(raw).hexdigest()[:12]

    def _said(self, view: str, one: FeatureDeclaration) -> dict[str, Any]:
        """What decides a feature's value, the same whether a default is written out or not."""
        said = one.model_dump(exclude={"meaning", "unit", "default"}, exclude_none=True)
        return said if one.kind is None else {**said, "by": one.by or self._default_by(view, one.kind)}

    def _formula(self, name: str, one: FeatureDeclaration) -> Formula:
        view = name.partition(".")[0]
        if one.age is not None:
            return Age()
        if one.field is not None:
            return self._own(view, one)
        if one.ratio is not None:
            part, whole = one.ratio
            divisor: Expression = Apply("+", (Ref(whole), Number(one.plus))) if one.plus else Ref(whole)
            dividend: Expression = Apply("*", (Number(one.times), Ref(part))) if one.times != 1 else Ref(part)
            return self._computed(view, Apply("/", (dividend, divisor)))
        if one.formula is not None:
            return self._computed(view, expressions.parse(one.formula))
        return self._aggregate(view, one)

    def _computed(self, view: str, expression: Expression) -> Formula:
        counts = {
            name: formula
            for name, formula in self._formulas.items()
            if self._declared.features[name].way in ("count", "distinct", "age")
        }
        return as_quotient(expression, view, counts) or Computed(expression)

    def _own(self, view: str, one: FeatureDeclaration) -> Formula:
        field = one.field if one.equals is None else f"{one.field}={one.equals}"
        cell = Cell(Events("item", "about"), "own", field)
        self._needs[view].add(cell, "ever")
        return Latest(cell.name, "ever")

    def _aggregate(self, view: str, one: FeatureDeclaration) -> Formula:
        assert one.kind is not None
        kind, by = one.kind, one.by or self._default_by(view, one.kind)
        where = filters.parse(one.where) if one.where is not None else None
        everything, some = Events(kind, by), Events(kind, by, where)
        window = one.window or "ever"
        match one.way:
            case "count":
                return self._counter(view, Cell(some, "number"), window)
            case "share":
                return Quotient(
                    self._counter(view, Cell(some, "number"), window),
                    self._counter(view, Cell(everything, "number"), window),
                )
            case "surge":
                cell = Cell(some, "number")
                today = self._counter(view, cell, "24h")
                self._counter(view, cell, "7d")
                return Quotient(today, DaysBefore(cell.name), whole_plus=1)
            case "velocity":
                cell = Cell(some, "number")
                hour, whole = self._counter(view, cell, "1h"), self._counter(view, cell, window)
                return Quotient(hour, whole, times=_HOURS[window])
            case "likelihood":
                assert where is not None
                right = self._counter(view, Cell(some, "number"), window)
                wrong = self._counter(view, Cell(Events(kind, by, filters.negated(where)), "number"), window)
                return Quotient(right, right, part_plus=1, whole_plus=2, other=wrong)
            case "distinct":
                cell = Cell(some, "different", one.source, one.slots)
                self._needs[view].add(cell, window)
                return Distinct(cell.name, window)
            case "sum":
                return self._counter(view, Cell(some, "sum", one.source), window)
            case "mean":
                return Quotient(
                    self._counter(view, Cell(some, "sum", one.source), window),
                    self._counter(view, Cell(some, "having", one.source), window),
                )
            case "max":
                cell = Cell(some, "peak" if one.at_least is None else "highest", one.source)
                self._needs[view].add(cell, window)
                return Peak(cell.name, window) if one.at_least is None else Total(cell.name)
            case "last":
                cell = Cell(some, "latest", one.source)
                self._needs[view].add(cell, window)
                return Latest(cell.name, window)
            case _:
                cell = Cell(some, "spread", one.source)
                self._needs[view].add(cell, window)
                return Entropy(tuple(_read(name, window) for name in cell.spread))

    def _default_by(self, view: str, kind: str) -> str:
        key = self._declared.keys.get(view)
        if key is None:
            return default_by(view, kind)
        source, _, field = key.source.partition(".")
        return field if source == kind else view

    def _counter(self, view: str, cell: Cell, window: str) -> Count | Total:
        self._needs[view].add(cell, window)
        return _read(cell.name, window)

    def _recipes(self) -> dict[tuple[str, str], tuple[Recipe, ...]]:
        """The recipes of each event: of the views that count something of it, and of those that it gives a link."""
        cells: dict[tuple[str, str, str], list[Cell]] = {}
        for view, needs in self._needs.items():
            for cell in needs.cells():
                cells.setdefault((cell.events.kind, cell.events.by, view), []).append(cell)
        found: dict[tuple[str, str], list[Recipe]] = {}
        for kind, by, view in dict.fromkeys((*cells, *self._links)):
            event = kind, by, view
            # Rows of further keys have declared events only, and show when one was first seen.
            is_declared = kind not in BUILT_IN_KINDS and view in _VIEWS
            recipe = Recipe(view, cells.get(event, ()), self._links.get(event, ()), declared=is_declared)
            found.setdefault((kind, by), []).append(recipe)
        return {event: tuple(recipes) for event, recipes in found.items()}

    def _declared_kinds(self) -> dict[str, tuple[str, ...]]:
        by_kind: dict[str, dict[str, None]] = {}
        for kind, by in self._recipes():
            if kind not in BUILT_IN_KINDS:
                by_kind.setdefault(kind, {})[by] = None
        return {kind: tuple(ways) for kind, ways in by_kind.items()}


def _read(name: str, window: str) -> Count | Total:
    return Total(name) if window == "ever" else Count(name, window)

"""Declarations of features: what is counted of which events, in whose rows, in which window."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field as Described
from pydantic import StringConstraints, model_validator

from leads.messages import patterns
from leads.platform import expressions, filters
from leads.platform.kinds import By
from leads.yaml_files import At, Strict

Window = Literal["1h", "24h", "7d", "90d", "ever"]
WINDOWS: tuple[Window, ...] = ("1h", "24h", "7d", "90d", "ever")
FeatureName = Annotated[str, StringConstraints(pattern=patterns.FEATURE)]
_Name = Annotated[str, StringConstraints(pattern=patterns.NAME)]
_Source = Annotated[str, StringConstraints(pattern=patterns.SOURCE)]
_Filter = Annotated[str, StringConstraints(min_length=1, max_length=filters.MAX_CHARS)]
_Formula = Annotated[str, StringConstraints(min_length=1, max_length=expressions.MAX_CHARS)]
_Line = Annotated[str, StringConstraints(min_length=1, max_length=120, pattern=patterns.ONE_LINE)]

# Ways to aggregate events that name a kind, and those that name one of its fields.
OF_KIND = ("count", "share", "surge", "velocity", "likelihood")
OF_FIELD = ("distinct", "sum", "mean", "max", "last", "entropy")
OTHERS = ("ratio", "formula", "field", "age")
AGGREGATIONS = OF_KIND + OF_FIELD
# Options, and the ways that have them. Of those marked, it is required.
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "by": AGGREGATIONS,
    "where": AGGREGATIONS,
    "window": tuple(way for way in AGGREGATIONS if way != "surge"),
    "slots": ("distinct",),
    "times": ("ratio",),
    "plus": ("ratio",),
    "at_least": ("max",),
    "equals": ("field",),
}
_UNITS = {
    "count": "count",
    "distinct": "count",
    "share": "share",
    "likelihood": "share",
    "surge": "ratio",
    "velocity": "ratio",
    "ratio": "ratio",
    "entropy": "bits",
    "age": "hours",
}
_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "window": tuple(way for way in AGGREGATIONS if way != "surge"),
    "where": ("share", "likelihood"),
}


class FeatureDeclaration(Strict):
    """One feature: exactly one of the ways to compute it, and that way's options."""

    count: _Name | None = Described(default=None, description="How many events of this kind there were.")
    share: _Name | None = Described(default=None, description="The share of events that pass the filter `where`.")
    surge: _Name | None = Described(
        default=None, description="Events in 24 hours over 1 + the daily mean of the 6 days before."
    )
    velocity: _Name | None = Described(
        default=None, description="Events in an hour over the hourly mean of the window: 1 is an even rate."
    )
    likelihood: _Name | None = Described(
        default=None,
        description="How likely an event passes the filter `where`: the mean of Beta(1 + those that did, 1 + others).",
    )
    distinct: _Source | None = Described(default=None, description="How many different values a field had.")
    sum: _Source | None = Described(default=None, description="The sum of a number.")
    mean: _Source | None = Described(default=None, description="The mean of a number.")
    max: _Source | None = Described(default=None, description="The highest value of a number.")
    last: _Source | None = Described(default=None, description="The value of the newest event that has one.")
    entropy: _Source | None = Described(
        default=None, description="How evenly events are spread over a field's values, in bits: 0 to 4."
    )
    ratio: tuple[FeatureName, FeatureName] | None = Described(
        default=None, description="One feature divided by another: `times` · first / (second + `plus`)."
    )
    formula: _Formula | None = Described(default=None, description="Arithmetic over other features.")
    field: _Name | None = Described(default=None, description="The value of an item's own field.")
    age: Literal["hours"] | None = Described(default=None, description="Time since the entity was first seen.")

    by: By | _Name | None = Described(default=None, description="Whose row an event counts in.")
    where: _Filter | None = Described(default=None, description="Which events count.")
    window: Window | None = None
    slots: Literal[16, 32, 64, 128, 256] = Described(default=64, description="Size of the sketch of a distinct count.")
    times: float = Described(default=1.0, ge=-expressions.LARGEST, le=expressions.LARGEST)
    plus: float = Described(default=0.0, ge=0, le=expressions.LARGEST)
    at_least: Literal[0] | None = Described(
        default=None, description="0: a maximum is never lower, and 0 where there is no value."
    )
    equals: str | None = Described(default=None, description="1 if the field has this value, 0 if it has another.")
    unit: _Line | None = Described(default=None, description="By default, what follows from the way.")
    meaning: _Line = Described(description="What reviewers read after the value.")
    default: bool = Described(
        default=True, description="Whether every harm's contract has it; others can be named by own models."
    )

    @model_validator(mode="before")
    @classmethod
    def _names_a_known_way(cls, data: Any) -> Any:
        ways = (*AGGREGATIONS, *OTHERS)
        if isinstance(data, Mapping) and not any(way in data for way in ways):
            unknown = [key for key in data if key not in cls.model_fields]
            if unknown:
                raise At((unknown[0],), f"isn't a way to compute a feature; the ways are {', '.join(ways)}")
        return data

    @model_validator(mode="after")
    def _is_one_way_with_its_options(self) -> FeatureDeclaration:
        given = [way for way in (*AGGREGATIONS, *OTHERS) if getattr(self, way) is not None]
        if len(given) != 1:
            found = f"it has {' and '.join(given)}" if given else "it has none"
            raise ValueError(f"a feature needs exactly one of {', '.join((*AGGREGATIONS, *OTHERS))}; {found}")
        way = given[0]
        for option, ways in _OPTIONS.items():
            if option in self.model_fields_set and way not in ways:
                raise ValueError(f"{way} has no {option}")
        for option, ways in _REQUIRED.items():
            if way in ways and getattr(self, option) is None:
                choice = f": {', '.join(WINDOWS)}" if option == "window" else ""
                raise ValueError(f"{way} needs {option}{choice}")
        if way == "velocity" and self.window in ("1h", "ever"):
            raise ValueError("the window of a velocity is 24h, 7d or 90d")
        if self.at_least is not None and self.window != "ever":
            raise ValueError("at_least needs the window ever")
        if self.where is not None:
            filters.parse(self.where)
        if self.formula is not None and not self.needs:
            raise ValueError("the formula names no feature")
        return self

    @property
    def way(self) -> str:
        """How it is computed: the key that is set."""
        return next(way for way in (*AGGREGATIONS, *OTHERS) if getattr(self, way) is not None)

    @property
    def own_unit(self) -> str | None:
        """Its unit, if it doesn't follow from a field."""
        return self.unit or _UNITS.get(self.way)

    @property
    def kind(self) -> str | None:
        """The kind of event that it counts; None if it counts none."""
        return getattr(self, self.way).partition(".")[0] if self.way in AGGREGATIONS else None

    @property
    def source(self) -> str | None:
        """The field of the events that it sums up; None if it only counts them."""
        return getattr(self, self.way).partition(".")[2] if self.way in OF_FIELD else None

    @property
    def needs(self) -> tuple[str, ...]:
        """The other features that it is computed from."""
        if self.ratio is not None:
            return self.ratio
        return tuple(expressions.features_in(expressions.parse(self.formula))) if self.formula is not None else ()


class KeyDeclaration(Strict):
    """A further key that features count by, such as the address that an account last logged in from."""

    title: _Line
    source: _Source = Described(alias="from", description="The event and the field that has it: `login.ip`.")
    of: Literal["account", "item"] = Described(
        default="account", description="Whose key it is: of who did the event, or of the item that it is about."
    )


FeatureDeclarations = Mapping[FeatureName, FeatureDeclaration]


def reached(name: str, needs: Callable[[str], Iterable[str]]) -> set[str]:
    """A feature and all that it is computed from, each visited once."""
    found, waiting = {name}, [name]
    while waiting:
        new = set(needs(waiting.pop())) - found
        found |= new
        waiting += new
    return found


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str]:
    """The features, each after those that it is computed from.

    Raises:
        graphlib.CycleError: some need each other in a circle; its second argument lists them.

    >>> in_order({"a": ["b"], "b": []})
    ['b', 'a']
    """
    return list(graphlib.TopologicalSorter(needs).static_order())

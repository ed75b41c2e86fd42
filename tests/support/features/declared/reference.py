"""Computes declared features from lists of occurrences: slow, and written from the documentation alone.

Windows are those that `features.layout` describes. The hash that assigns elements to the slots of a sketch is shared
with the code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import mmh3
import numpy as np

from leads import clock
from leads.events import LoggedEvent, Subject
from leads.platform.features import FeatureDeclaration, KeyDeclaration
from leads.platform.kinds import BUILT_IN_KINDS
from tests.support.features.declared.occurrences import Occurrence, Occurrences, as_text
from tests.support.features.declared.written import computed, passes

# Width of a bucket in seconds, and how many there are.
WINDOWS = {"1h": (300, 12), "24h": (3_600, 24), "7d": (86_400, 7), "90d": (604_800, 13)}
NAN = float("nan")
LARGEST = 1e18
_BY = {"item": ("about",), "account": ("who", "creator", "about"), "parent": ("parent", "about"), "bucket": ("text",)}


class Value(NamedTuple):
    """A feature's value, and how far a correct one may be from it."""

    value: float
    slack: float = 0.0


_NOTHING = Value(NAN)


class Reference:
    """Computes the features of subjects from events.

    Args:
        features: all of them, the built-in ones too.
        events: those that are visible by `as_of`.
    """

    def __init__(
        self,
        features: Mapping[str, FeatureDeclaration],
        keys: Mapping[str, KeyDeclaration],
        events: Sequence[LoggedEvent],
        as_of: int,
    ) -> None:
        self._features, self._keys = features, keys
        self._now = as_of // clock.SECOND
        self._seen = Occurrences(events)
        # By view, what counts in its rows or gives them a key.
        self._counted: dict[str, set[tuple[str, str]]] = {view: set() for view in (*_BY, "device", *keys)}
        self._counted["account"].add(("play", "who"))
        for name, one in features.items():
            if one.field is not None:
                self._counted[name.partition(".")[0]].add(("item", "about"))
            elif one.kind is not None:
                self._counted[name.partition(".")[0]].add((one.kind, self.by(name, one)))
        for key in keys.values():
            self._counted[key.of].add((key.source.partition(".")[0], "who" if key.of == "account" else "about"))

    def by(self, name: str, one: FeatureDeclaration) -> str:
        """By what a feature counts."""
        view, kind = name.partition(".")[0], one.kind or ""
        if one.by is not None:
            return one.by
        if view == "device":
            return "device"
        if view in self._keys:
            source, _, field = self._keys[view].source.partition(".")
            return field if source == kind else view
        offered = BUILT_IN_KINDS[kind].by if kind in BUILT_IN_KINDS else ("about", "who", "creator", "parent", "text")
        return next(by for by in _BY[view] if by in offered)

    def of(self, subject: Subject) -> dict[str, Value]:
        """Every feature of a subject."""
        rows = self._rows(subject)
        found: dict[str, Value] = {}
        while len(found) < len(self._features):
            for name, one in self._features.items():
                if name not in found and all(needed in found for needed in one.needs):
                    found[name] = self._value(name, one, rows[name.partition(".")[0]], found)
        return found

    def _rows(self, subject: Subject) -> dict[str, list[_Row]]:
        """The rows of each view that a subject's features are read from."""
        account, parent, *texts = self._seen.links(subject)
        rows = {
            "item": [self._row("item", subject.key)],
            "account": [self._row("account", account)],
            "parent": [self._row("parent", parent)],
            "bucket": [self._row("bucket", text) for text in texts],
            "device": [self._row("device", self._seen.devices.get(account or ""))],
        }
        for view, key in self._keys.items():
            kind, _, field = key.source.partition(".")
            of = ("who", account or "") if key.of == "account" else ("about", subject.key)
            rows[view] = [self._row(view, self._seen.given.get((kind, *of, field)))]
        return rows

    def _row(self, view: str, key: str | None) -> _Row:
        if key is None:
            return _Row([], None, {}, self._now)
        mine = [one for one in self._seen.found if _is_in(one, view, key) and (one.kind, one.by) in self._counted[view]]
        subject = f"account:{key}" if view == "account" else key
        versions = self._seen.versions.get(subject, []) if view in ("item", "account") else []
        # Declared events don't change what is known from the others, except in rows that only they change.
        touched = [one.at for one in mine if one.kind in BUILT_IN_KINDS or view in self._keys]
        if view == "account":
            touched += [version.order[0] for version in versions]
        own = max(versions, key=lambda version: version.order).values if versions else {}
        return _Row(mine, min(touched) // clock.SECOND if touched else None, own, self._now)

    def _value(self, name: str, one: FeatureDeclaration, rows: Sequence[_Row], found: Mapping[str, Value]) -> Value:
        view = name.partition(".")[0]
        if one.ratio is not None:
            if view != "bucket":
                part, whole = (found[needed].value for needed in one.ratio)
                return _close(within_limits(_over(one.times * part, whole + one.plus)))
            # Quotients of a text's values are computed for each of its buckets.
            each = [[self._row_value(needed, row) for needed in one.ratio] for row in rows]
            return _highest([_close(_over(one.times * a.value, b.value + one.plus)) for a, b in each])
        if one.formula is not None:
            value = computed(one.formula, {needed: found[needed].value for needed in one.needs})
            return _close(within_limits(value))
        return _highest([self._row_value(name, row) for row in rows])

    def _row_value(self, name: str, row: _Row) -> Value:
        one = self._features[name]
        if one.field is not None:
            return Value(own_value(row.own.get(one.field), one.equals))
        if row.first is None and (one.age is not None or one.kind in BUILT_IN_KINDS):
            return _NOTHING
        if row.first is not None and one.age is not None:
            return Value(float(np.float32(max(0, self._now - row.first) / 3_600)))
        return row.aggregate(one, self.by(name, one))


class _Row:
    # `first` is the second in which the entity was first seen.
    def __init__(self, found: Sequence[Occurrence], first: int | None, own: Mapping[str, Any], now: int) -> None:
        self.found, self.first, self.own, self.now = found, first, own, now

    def aggregate(self, one: FeatureDeclaration, by: str) -> Value:
        every = [each for each in self.found if each.kind == one.kind and each.by == by]
        some = [each for each in every if one.where is None or passes(one.where, each.values)]
        having = [each for each in some if one.source and each.values.get(one.source) is not None]
        window = one.window or "ever"
        match one.way:
            case "count":
                return Value(self.count(some, window))
            case "share":
                return _close(_over(self.count(some, window), self.count(every, window)))
            case "surge":
                today = self.count(some, "24h")
                return _close(today / (1 + (self.count(some, "7d") - today) / 6))
            case "velocity":
                width, size = WINDOWS[window]
                hours = width * size / 3_600
                return _close(_over(self.count(some, "1h"), self.count(some, window) / hours))
            case "likelihood":
                right, whole = self.count(some, window), self.count(every, window)
                return _close((1 + right) / (2 + whole))
            case "distinct":
                return Value(self.distinct(having, one.source or "", window, one.slots))
            case "entropy":
                return _close(self.entropy(having, one.source or "", window))
            case _:
                return self.of_numbers(one, having, window)

    def of_numbers(self, one: FeatureDeclaration, having: Sequence[Occurrence], window: str) -> Value:
        numbers = [
            (each, limited(each.values[one.source or ""]) * each.times)
            for each in having
            if isinstance(each.values[one.source or ""], int | float)
        ]
        within = [(each, number) for each, number in numbers if self.within(each, window)]
        if one.way in ("sum", "mean"):
            whole = math.fsum(number for _, number in within)
            slack = 1e-5 * math.fsum(abs(number) for _, number in within)
            n = 1 if one.way == "sum" else sum(each.times for each, _ in within)
            return Value(whole / n, slack / n) if n > 0 else _NOTHING
        if one.way == "max":
            lowest = [] if one.at_least is None else [0.0]
            return Value(max([*lowest, *(number for _, number in within)], default=NAN))
        # Of events in the same second, the one that came in last.
        stands = [pair for pair in numbers if pair[0].times > 0]
        newest = max(enumerate(stands), key=lambda pair: (_second(pair[1][0]), pair[0]), default=None)
        if newest is None:
            return _NOTHING
        each, number = newest[1]
        width, size = WINDOWS.get(window, (self.now, 2))
        return Value(number) if self.now - _second(each) < width * size else _NOTHING

    def within(self, one: Occurrence, window: str) -> bool:
        if window == "ever":
            return True
        width, size = WINDOWS[window]
        return self.now // width - _second(one) // width < size

    def count(self, found: Sequence[Occurrence], window: str) -> float:
        return float(sum(one.times for one in found if self.within(one, window)))

    def distinct(self, having: Sequence[Occurrence], source: str, window: str, slots: int) -> float:
        width, size = WINDOWS.get(window, (self.now, 1))
        oldest = (self.now - width * size) // 300
        recent = {as_text(one.values[source]) for one in having if _second(one) // 300 > oldest}
        filled = len({mmh3.hash(element, 0, False) % slots for element in recent})
        return float(np.rint(-slots * math.log1p(-(filled - 0.5 * (filled == slots)) / slots)))

    def entropy(self, having: Sequence[Occurrence], source: str, window: str) -> float:
        spread = [0.0] * 16
        for one in having:
            if self.within(one, window):
                spread[mmh3.hash(as_text(one.values[source]), 7, False) % 16] += one.times
        whole = sum(spread)
        if not whole > 0:
            return NAN
        return round(-sum(part / whole * math.log2(part / whole) for part in spread if part), 4) + 0.0


def _is_in(one: Occurrence, view: str, key: str) -> bool:
    return one.key == (f"account:{key}" if view == "account" and one.by == "about" else key)


def _second(one: Occurrence) -> int:
    return one.then // clock.SECOND


def own_value(value: Any, equals: str | None) -> float:
    """The value of an item's own field; a text's is its length."""
    if value is None:
        return NAN
    if equals is not None:
        return float(value == equals)
    return limited(len(value) if isinstance(value, str) else value)


def limited(value: float) -> float:
    """A value as rows hold it: within limits, as float32."""
    return float(np.float32(within_limits(value)))


def within_limits(value: float) -> float:
    """A value, or the limit that it is beyond; NaN stays."""
    return value if math.isnan(value) else max(min(value, LARGEST), -LARGEST)


def _over(part: float, whole: float) -> float:
    return part / whole if whole > 0 or whole < 0 else NAN


def _close(value: float) -> Value:
    return Value(value, max(2e-6 * abs(value), 1e-6))


def _highest(each: Sequence[Value]) -> Value:
    known = [one for one in each if not math.isnan(one.value)]
    return Value(max(one.value for one in known), max(one.slack for one in known)) if known else _NOTHING

"""What one event changes in one row, compiled from what features count of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import mmh3

from features.declared.counted import SPREAD, Cell
from features.declared.row_update import Amounts, RowUpdate
from leads.clock import Micros
from leads.platform.filters import Every, Filter, Predicate, compares, predicate

# An event's values: of its fields, and of what it is about, who did it, ...
Values = Mapping[str, Any]
_NAN = float("nan")
# As of an id.
_MAX_KEY_CHARS = 256
_OF_NUMBERS = frozenset(("sum", "having", "highest", "peak", "latest"))
_new = tuple.__new__


class Recipe:
    """The update of a view's rows for events of one kind, counted by one key.

    Args:
        cells: all that these rows hold of these events.
        links: the place among the row's links, and the field, of each key that the event gives.
        declared: whether the events are of a kind that platform.yaml declares, in rows that have others too.
    """

    def __init__(
        self, view: str, cells: Sequence[Cell], links: Iterable[tuple[int, str]] = (), *, declared: bool = False
    ) -> None:
        self.view = view
        self._declared = declared
        self._always: tuple[str, ...] = ()
        self._sometimes: list[tuple[Predicate, tuple[str, ...]]] = []
        self._spread: list[tuple[tuple[str, ...], str]] = []
        self._elements: list[tuple[str, str]] = []
        self._links = tuple(links)
        # What is rarer.
        self._others: list[tuple[Predicate, Cell, str]] = []
        self._own: list[tuple[str, str]] = []
        numbers: dict[Filter | None, tuple[str, ...]] = {}
        for cell in cells:
            where, field = cell.events.where, cell.source or ""
            if cell.what == "number":
                numbers[where] = (*numbers.get(where, ()), cell.name)
            elif cell.what == "own":
                self._own.append((cell.name, field))
            elif cell.what == "different" and where is None:
                self._elements.append((cell.name, field))
            elif cell.what == "spread" and where is None:
                self._spread.append((cell.spread, field))
            else:
                self._others.append((_any if where is None else predicate(where), cell, field))
        self._has_others = bool(self._others or self._own)
        self._fields = frozenset(
            field
            for cell in cells
            for field in (cell.source, *(one.field for one in compares(cell.events.where or Every(()))))
            if field is not None
        )
        self._always = numbers.pop(None, ())
        self._sometimes = [(predicate(where), names) for where, names in numbers.items() if where is not None]

    @property
    def keys_alone(self) -> Recipe | None:
        """The recipe that only gives the row its keys, and counts nothing; None if this one gives none."""
        return Recipe(self.view, (), self._links, declared=self._declared) if self._links else None

    @property
    def fields(self) -> frozenset[str]:
        """The fields of events that it reads."""
        return self._fields

    @property
    def own(self) -> Sequence[tuple[str, str]]:
        """The names of the newest values of items' own fields, each with the field."""
        return self._own

    @property
    def own_fields(self) -> tuple[str, ...]:
        """The own fields of items that it keeps."""
        return tuple(field for _, field in self._own)

    def update(
        self,
        key: str,
        values: Values,
        at: Micros,
        *,
        times: int = 1,
        seen_at: Micros | None = None,
        links: tuple[str | None, ...] | None = None,
        older: bool = False,
    ) -> RowUpdate:
        """The update of the row with this key.

        Args:
            at: when the event happened.
            times: how often it counts; -1 takes a count back.
            seen_at: when it happened, if that is earlier than what made it count.
            links: the first of the row's links from now on; None leaves them.
            older: whether it is an older version of an item, whose own fields don't count.
        """
        counters = self._always
        for test, names in self._sometimes:
            if test(values):
                counters += names
        for names, field in self._spread:
            if (value := values.get(field)) is not None:
                counters += (_one_of(names, value),)
        distinct: tuple[tuple[str, str], ...] = ()
        for name, field in self._elements:
            if (value := values.get(field)) is not None:
                distinct += ((name, value if type(value) is str else text_of(value)),)
        linked: tuple[tuple[int, str], ...] = ()
        for place, field in self._links:
            if (value := values.get(field)) is not None:
                linked += ((place, key_of(value)),)
        # Positional, and without the class's own constructor, because most of a fold's time is spent here.
        update: RowUpdate = _new(RowUpdate, (self.view, key, counters, distinct, links, linked, self._declared, None))
        if self._has_others or times != 1 or seen_at is not None:
            return self._with_others(update, values, at, times, seen_at, older)
        return update

    def _with_others(
        self, update: RowUpdate, values: Values, at: Micros, times: int, seen_at: Micros | None, older: bool
    ) -> RowUpdate:
        then = at if seen_at is None else seen_at
        counters, distinct = list(update.counters), list(update.distinct)
        amounts: list[tuple[str, float, Micros]] = []
        maxima: list[tuple[str, float]] = []
        peaks: list[tuple[str, float]] = []
        latest: list[tuple[str, float]] = []
        for test, cell, field in self._others:
            value = values.get(field)
            if value is None or not test(values):
                continue
            # Events from before the field was declared as it is now may have a text.
            if cell.what in _OF_NUMBERS and not isinstance(value, int | float):
                continue
            match cell.what:
                case "sum":
                    amounts.append((cell.name, value * times, then))
                case "having":
                    counters.append(cell.name)
                case "highest":
                    maxima.append((cell.name, value))
                case "peak":
                    peaks.append((cell.name, value))
                case "latest":
                    latest.append((cell.name, value))
                case "spread":
                    counters.append(_one_of(cell.spread, value))
                case "different":
                    distinct.append((cell.name, text_of(value)))
        if not older:
            latest += [(name, _NAN if (value := values.get(field)) is None else value) for name, field in self._own]
        if times != 1 or seen_at is not None:
            amounts = [*[(name, float(times), then) for name in counters], *amounts]
            counters = []
        more = Amounts(tuple(amounts), tuple(maxima), tuple(peaks), tuple(latest), seen_at)
        return update._replace(counters=tuple(counters), distinct=tuple(distinct), more=more)


def _one_of(names: tuple[str, ...], value: object) -> str:
    """The counter among these that events with this value are added to."""
    return names[mmh3.hash(text_of(value), 7, False) % SPREAD]


def text_of(value: object) -> str:
    """A value as an element that is counted once. A number is the same however its sender wrote it: 5, 5.0.

    >>> text_of(5), text_of(5.0), text_of(True)
    ('5.0', '5.0', 'True')
    """
    if type(value) is str:
        return value
    # + 0.0 makes 0 of -0.0.
    return str(value + 0.0) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def key_of(value: object) -> str:
    """A value as the key of a row. Rows store the keys that they link to, so a long text is replaced by a hash."""
    text = text_of(value)
    if len(text) <= _MAX_KEY_CHARS:
        return text
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _any(values: Values) -> bool:
    return True

"""Filters: which events a feature counts. `seconds >= 30 and country in ["US", "DE"]`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from leads.platform.fields import Kind

Value = float | bool | str
# Whether an event with these values of fields is counted.
Predicate = Callable[[Mapping[str, Any]], bool]

MAX_CHARS = 500
_OPERATORS: Mapping[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_EXAMPLE = 'for example: amount > 100 and country in ["US", "DE"]'


class Compare(NamedTuple):
    """A comparison of a field with a value, or with several. False if the event doesn't have the field."""

    field: str
    operator: str
    value: Value | tuple[Value, ...]


class Flag(NamedTuple):
    """Whether a flag is set."""

    field: str


class Not(NamedTuple):
    """True where `part` is false."""

    part: Filter


class Every(NamedTuple):
    """True where all parts are."""

    parts: tuple[Filter, ...]


class Some(NamedTuple):
    """True where a part is."""

    parts: tuple[Filter, ...]


Filter = Compare | Flag | Not | Every | Some


def parse(text: str) -> Filter:
    """Parse a filter.

    Raises:
        ValueError: it isn't one; the message says why.

    >>> parse("30 <= seconds < 36")
    Every(parts=(Compare(field='seconds', operator='>=', value=30), Compare(field='seconds', operator='<', value=36)))
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"the filter has {len(text)} characters; use at most {MAX_CHARS}")
    try:
        return _filter(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} isn't a filter; {_EXAMPLE}") from None


def _filter(node: ast.expr) -> Filter:
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return Every(tuple(map(_filter, values)))
        case ast.BoolOp(op=ast.Or(), values=values):
            return Some(tuple(map(_filter, values)))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Not(_filter(operand))
        case ast.Name(id=name):
            return Flag(name)
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = [left, *others]
            parts = [_compare(a, op, b) for a, op, b in zip(sides, ops, sides[1:], strict=False)]
            return parts[0] if len(parts) == 1 else Every(tuple(parts))
        case _:
            raise ValueError(f"{ast.unparse(node)!r} can't be in a filter; {_EXAMPLE}")


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr) -> Filter:
    name = _OPERATORS.get(type(op))
    if isinstance(right, ast.Name) and not isinstance(left, ast.Name) and name in _MIRRORED:
        left, right, name = right, left, _MIRRORED[name]
    if name is None or not isinstance(left, ast.Name):
        raise ValueError(f"a comparison has a field on one side; {_EXAMPLE}")
    if isinstance(right, ast.Name):
        raise ValueError(f'{right.id} is compared with a field; put a text in quotes: {left.id} {name} "{right.id}"')
    if name in ("in", "not in"):
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise ValueError(f"after {name}, list values in brackets; {_EXAMPLE}")
        return Compare(left.id, name, tuple(map(_value, right.elts)))
    return Compare(left.id, name, _value(right))


def _value(node: ast.expr) -> Value:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        value = None
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{ast.unparse(node)!r} isn't a number, a text in quotes, True or False; {_EXAMPLE}")
    return value


def compares(part: Filter) -> Iterator[Compare | Flag]:
    """The comparisons and flags in a filter."""
    match part:
        case Compare() | Flag():
            yield part
        case Not(inner):
            yield from compares(inner)
        case Every(parts) | Some(parts):
            for one in parts:
                yield from compares(one)


def check(part: Filter, kinds: Mapping[str, Kind], values: Mapping[str, Sequence[str]] = MappingProxyType({})) -> None:
    """Check that the fields exist and are compared with what they hold.

    Args:
        kinds: what each field holds.
        values: the only values of categories that have such.

    Raises:
        ValueError: the message says what is wrong.
    """
    for one in compares(part):
        if one.field not in kinds:
            raise ValueError(f"the event has no field {one.field}; its fields: {', '.join(kinds) or 'none'}")
        _check(one, kinds[one.field])
        if isinstance(one, Compare) and one.field in values:
            given = one.value if isinstance(one.value, tuple) else (one.value,)
            never = [value for value in given if value not in values[one.field]]
            if never:
                raise ValueError(f"{one.field} is never {never[0]!r}; its values: {', '.join(values[one.field])}")


def _check(one: Compare | Flag, kind: Kind) -> None:
    if isinstance(one, Flag):
        if kind != "flag":
            raise ValueError(f"{one.field} is a {kind}, not a flag; compare it with a value")
        return
    if kind in ("text", "url", "time"):
        raise ValueError(f"{one.field} is a {kind}, which filters can't compare")
    wanted: tuple[type, ...] = (int, float) if kind == "number" else (bool,) if kind == "flag" else (str,)
    for value in one.value if isinstance(one.value, tuple) else (one.value,):
        if not isinstance(value, wanted) or (kind == "number" and isinstance(value, bool)):
            raise ValueError(f"{one.field} is a {kind}, and {value!r} isn't")
    if kind != "number" and one.operator not in ("==", "!=", "in", "not in"):
        raise ValueError(f"{one.field} is a {kind}, so it has no order; use == or in")


def predicate(part: Filter) -> Predicate:
    """The filter as a function of an event's values by field; None stands for a value that it doesn't have."""
    match part:
        case Flag(field):
            return lambda values: values.get(field) is True
        case Compare(field, name, value):
            return _COMPARISONS[name](field, value)
        case Every((Compare(field, ">=", low), Compare(other, "<", high))) if field == other:
            # A range is common.
            return _within(field, low, high)
        case Not(inner):
            test = predicate(inner)
            return lambda values: not test(values)
        case Every(parts):
            tests = [predicate(one) for one in parts]
            return lambda values: all(test(values) for test in tests)
        case Some(parts):
            tests = [predicate(one) for one in parts]
            return lambda values: any(test(values) for test in tests)


# An event may be from before its field was declared as a number, and then hold a text.


def _within(field: str, low: Any, high: Any) -> Predicate:
    def test(values: Mapping[str, Any]) -> bool:
        given = values.get(field)
        try:
            return given is not None and low <= given < high
        except TypeError:
            return False

    return test


def _less(field: str, value: Any) -> Predicate:
    def test(values: Mapping[str, Any]) -> bool:
        given = values.get(field)
        try:
            return given is not None and given < value
        except TypeError:
            return False

    return test


def _at_most(field: str, value: Any) -> Predicate:
    def test(values: Mapping[str, Any]) -> bool:
        given = values.get(field)
        try:
            return given is not None and given <= value
        except TypeError:
            return False

    return test


def _greater(field: str, value: Any) -> Predicate:
    def test(values: Mapping[str, Any]) -> bool:
        given = values.get(field)
        try:
            return given is not None and given > value
        except TypeError:
            return False

    return test


def _at_least(field: str, value: Any) -> Predicate:
    def test(values: Mapping[str, Any]) -> bool:
        given = values.get(field)
        try:
            return given is not None and given >= value
        except TypeError:
            return False

    return test


# One function for each operator: filters run for every event, and a call of a call takes twice as long.
_COMPARISONS: Mapping[str, Callable[[str, Any], Predicate]] = {
    "==": lambda field, value: lambda values: (given := values.get(field)) is not None and given == value,
    "!=": lambda field, value: lambda values: (given := values.get(field)) is not None and given != value,
    "<": _less,
    "<=": _at_most,
    ">": _greater,
    ">=": _at_least,
    "in": lambda field, value: lambda values: (given := values.get(field)) is not None and given in value,
    "not in": lambda field, value: lambda values: (given := values.get(field)) is not None and given not in value,
}


def negated(part: Filter) -> Filter:
    """The filter that is true where this one is false."""
    return part.part if isinstance(part, Not) else Not(part)


def written(part: Filter) -> str:
    """The filter as text.

    >>> written(parse("not (30 <= seconds < 36)"))
    'not (seconds >= 30 and seconds < 36)'
    """
    match part:
        case Flag(field):
            return field
        case Compare(field, name, value):
            return f"{field} {name} {list(value) if isinstance(value, tuple) else value!r}"
        case Not(inner):
            return f"not {_inner(inner)}"
        case Every(parts):
            return " and ".join(map(_inner, parts))
        case Some(parts):
            return " or ".join(map(_inner, parts))


def _inner(part: Filter) -> str:
    return f"({written(part)})" if isinstance(part, Every | Some) else written(part)

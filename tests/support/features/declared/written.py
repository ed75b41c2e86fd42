"""Evaluates filters and formulas as they are written, without compiling them."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

NAN = float("nan")
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}
_COMPUTE: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda part, whole: part / whole if whole else NAN,
}


@lru_cache(maxsize=1_000)
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def passes(where: str, values: Mapping[str, Any]) -> bool:
    """Whether an event with these values passes a filter; a comparison with what it doesn't have is false."""
    return _passes(_parsed(where), values)


def computed(formula: str, values: Mapping[str, float]) -> float:
    """The value of a formula over features; NaN where a value is missing."""
    return _computed(_parsed(formula), values)


def _passes(node: ast.expr, values: Mapping[str, Any]) -> bool:
    match node:
        case ast.BoolOp(op, parts):
            each = [_passes(part, values) for part in parts]
            return all(each) if isinstance(op, ast.And) else any(each)
        case ast.UnaryOp(ast.Not(), part):
            return not _passes(part, values)
        case ast.Name(name):
            return values.get(name) is True
        case ast.Compare(left, ops, others):
            sides = [values.get(x.id) if isinstance(x, ast.Name) else ast.literal_eval(x) for x in (left, *others)]
            return all(_compares(a, op, b) for a, op, b in zip(sides, ops, sides[1:], strict=False))
        case _:
            raise AssertionError(ast.unparse(node))


def _compares(a: Any, op: ast.cmpop, b: Any) -> bool:
    try:
        return a is not None and b is not None and _COMPARE[type(op)](a, b)
    except TypeError:
        return False


def _computed(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value):
            assert isinstance(value, int | float)
            return float(value)
        case ast.Attribute(ast.Name(view), name):
            return values[f"{view}.{name}"]
        case ast.UnaryOp(ast.USub(), part):
            return -_computed(part, values)
        case ast.BinOp(left, op, right):
            return _COMPUTE[type(op)](_computed(left, values), _computed(right, values))
        case ast.Call(ast.Name(function), arguments):
            each = [_computed(argument, values) for argument in arguments]
            if any(math.isnan(value) for value in each):
                return NAN
            if function == "log1p":
                return math.log1p(each[0]) if each[0] > -1 else NAN
            return {"abs": abs, "min": min, "max": max}[function](*each)
        case _:
            raise AssertionError(ast.unparse(node))

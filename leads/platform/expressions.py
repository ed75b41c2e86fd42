"""Formulas of features: arithmetic over other features. `100 * account.follows_7d / (item.plays_7d + 1)`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

MAX_CHARS = 500
# No number that is declared is larger, so that float32 holds what is computed with it.
LARGEST = 1e18
_OPERATORS: Mapping[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
FUNCTIONS = {"log1p": 1, "abs": 1, "min": 2, "max": 2}
_EXAMPLE = "for example: 100 * account.follows_7d / (account.items_7d + 1)"


class Number(NamedTuple):
    """A constant."""

    value: float


class Ref(NamedTuple):
    """The value of another feature."""

    feature: str


class Apply(NamedTuple):
    """An operator (`+ - * /`) or function (`log1p abs min max`) and what it is applied to.

    A division by zero gives NaN, and so does a logarithm of what isn't positive.
    """

    name: str
    parts: tuple[Expression, ...]


Expression = Number | Ref | Apply


def parse(text: str) -> Expression:
    """Parse a formula.

    Raises:
        ValueError: it isn't one; the message says why.

    >>> parse("item.plays_7d / 7")
    Apply(name='/', parts=(Ref(feature='item.plays_7d'), Number(value=7.0)))
    """
    if len(text) > MAX_CHARS:
        raise ValueError(f"the formula has {len(text)} characters; use at most {MAX_CHARS}")
    try:
        return _expression(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"{text!r} isn't a formula; {_EXAMPLE}") from None


def _expression(node: ast.expr) -> Expression:
    match node:
        case ast.Constant(value=value) if isinstance(value, int | float) and not isinstance(value, bool):
            if value > LARGEST:
                raise ValueError(f"a number in a formula is at most {LARGEST:g}")
            return Number(float(value))
        case ast.Attribute(value=ast.Name(id=view), attr=name):
            return Ref(f"{view}.{name}")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return Apply("-", (Number(0.0), _expression(operand)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return Apply(_OPERATORS[type(op)], (_expression(left), _expression(right)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if FUNCTIONS.get(name) == len(args):
            return Apply(name, tuple(map(_expression, args)))
        case _:
            raise ValueError(f"{ast.unparse(node)!r} can't be in a formula; {_EXAMPLE}")


def features_in(part: Expression) -> Iterator[str]:
    """The features that a formula names, each as often as it does."""
    match part:
        case Ref(feature):
            yield feature
        case Apply(_, parts):
            for one in parts:
                yield from features_in(one)

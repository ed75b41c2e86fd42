"""Refuses query parameters that a route doesn't have or that come twice, as request bodies refuse unknown fields."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from fastapi.routing import APIRoute
from starlette.requests import Request

from leads.errors import InvalidInput, together

# Names that are safe to repeat in an error.
_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")


async def check_parameters(request: Request) -> None:
    """A dependency of every route.

    Raises:
        InvalidInput: the query string has parameters that the route doesn't have, or has one more than once; with their
            names as pointers.
    """
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    fields = route.dependant.query_params if isinstance(route, APIRoute) else []
    known = sorted(field.alias for field in fields)
    wrong = [unknown_parameter(name, known) for name in request.query_params if name not in known]
    counts = Counter(name for name, _ in request.query_params.multi_items())
    single = sorted(field.alias for field in fields if not _is_list(field.field_info.annotation))
    wrong += [_repeated(name) for name in single if counts[name] > 1]
    if wrong:
        raise together(wrong, "parameters")


def unknown_parameter(name: str, known: Sequence[str]) -> InvalidInput:
    """The error for one parameter; `known` are the names of the route's own."""
    safe = _NAME.fullmatch(name) is not None
    return InvalidInput(
        f"Unknown query parameter {name!r}." if safe else "Unknown query parameter.",
        field=f"/{name}" if safe else None,
        remedy=f"This route has: {', '.join(known)}." if known else "This route has no query parameters.",
    )


def _is_list(annotation: Any) -> bool:
    """Whether a parameter takes several values: `list[…]`, or that or None."""
    return list in (get_origin(annotation), *map(get_origin, get_args(annotation)))


def _repeated(name: str) -> InvalidInput:
    """The error for a parameter that only one value could be taken from."""
    return InvalidInput(f"Query parameter {name!r} is given more than once.", field=f"/{name}", remedy="Give it once.")

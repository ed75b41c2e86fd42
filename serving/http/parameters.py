"""Refuses query parameters that a route doesn't have, as request bodies refuse unknown fields."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi.routing import APIRoute
from starlette.requests import Request

from leads.errors import InvalidInput, together

# Names that are safe to repeat in an error.
_NAME = re.compile(r"[A-Za-z0-9_]{1,40}")


async def check_parameters(request: Request) -> None:
    """A dependency of every route.

    Raises:
        InvalidInput: the query string has parameters that the route doesn't have; with their names as pointers.
    """
    if not request.scope["query_string"]:
        return
    route = request.scope["route"]
    known = sorted(field.alias for field in route.dependant.query_params) if isinstance(route, APIRoute) else []
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise together([unknown_parameter(name, known) for name in unknown], "parameters")


def unknown_parameter(name: str, known: Sequence[str]) -> InvalidInput:
    """The error for one parameter; `known` are the names of the route's own."""
    safe = _NAME.fullmatch(name) is not None
    return InvalidInput(
        f"Unknown query parameter {name!r}." if safe else "Unknown query parameter.",
        field=f"/{name}" if safe else None,
        remedy=f"This route has: {', '.join(known)}." if known else "This route has no query parameters.",
    )

"""What the OpenAPI document says about a route."""

from __future__ import annotations

from typing import NamedTuple

from leads.db.keys import Scope
from leads.errors import LeadsError


class RouteDocs(NamedTuple):
    """One route.

    Args:
        id: the operation's id, which generated clients name their functions after.
        tag: the group of operations that it belongs to.
        scope: the scope that the key needs; None if any key is allowed.
        writes: the route changes data and accepts an Idempotency-Key.
        parameters: the route has path or query parameters.
        problems: examples of problems that not every route returns.
    """

    id: str
    tag: str
    summary: str
    description: str
    scope: Scope | None
    response: type
    body: type | None = None
    status: int = 200
    writes: bool = False
    parameters: bool = False
    problems: tuple[LeadsError, ...] = ()

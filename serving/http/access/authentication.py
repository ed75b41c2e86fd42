"""Finds the key that a request was sent with.

Scripts send it as `X-API-Key` or as `Authorization: Bearer`. The API's pages also take it as the password of HTTP Basic
authentication, which lets people open them in a browser. Other routes don't: a browser sends that password along with
every request to this host, also with those that another site makes it send.
"""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request
from starlette.types import Scope

from leads.db import keys
from leads.db.keys import ApiKey, invalid_key, parts_of
from leads.errors import AccessDenied, NotAuthenticated, TooManyRequests
from serving.http.bodies import Headers
from serving.runtime import Runtime

# Where a request's scope holds its key.
KEY = "leads.key"
STATIC = "/static_content/"
METRICS = "/metrics"
_PAGES = frozenset(("/", "/v1/docs", "/v1/docs/start.js", "/v1/openapi.json", "/docs.json"))
_SEND = "Create one with `leads keys create` and send it in the X-API-Key header."


def is_page(scope: Scope) -> bool:
    """Whether this request reads one of the API's pages, or what they consist of."""
    path: str = scope["path"]
    return scope["method"] in ("GET", "HEAD") and (path in _PAGES or path.startswith(STATIC))


def key_of(request: Request, scope: keys.Scope | None) -> ApiKey:
    """The key of a request that was authenticated.

    Raises:
        AccessDenied: the key lacks the scope; None: any key will do.
    """
    key: ApiKey = request.scope[KEY]
    if scope is not None:
        key.require(scope)
    return key


def check_route(key: ApiKey, path: str) -> None:
    """Check that the key may send requests to this path at all; routes check their own scope.

    Raises:
        AccessDenied: it may only read the metrics.
    """
    if key.only_metrics and path != METRICS:
        raise only_metrics()


def only_metrics() -> AccessDenied:
    """The error for a key that may only read the metrics."""
    return AccessDenied("This key can only read /metrics.", remedy="Use a key with another scope than metrics.")


async def authenticate(scope: Scope, headers: Headers, parts: Runtime) -> ApiKey:
    """The request's key.

    Raises:
        NotAuthenticated: no key, or an invalid one.
        TooManyRequests: the key is not in memory, and too many such keys are being looked up.
        Unavailable: the database is down, and has been for a minute.
    """
    text = _sent_key(headers, basic=is_page(scope))
    # Nothing malformed gets further.
    parts_of(text)
    if parts.keys.outdated:
        await parts.check_key(parts.keys.refresh)
    key = parts.keys.recall(text)
    if key is not None:
        return key
    try:
        parts.rates.take_unknown()
    except TooManyRequests:
        parts.metrics.rate_limited("unknown_keys")
        raise
    return await parts.check_key(parts.keys.look_up, text)


def _sent_key(headers: Headers, *, basic: bool) -> str:
    """The key's text. Raises NotAuthenticated if there is none."""
    if (own := headers.get(b"x-api-key")) is not None:
        return own.decode("latin-1")
    scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
    scheme = scheme.lower()
    if scheme == b"bearer":
        return value.strip().decode("latin-1")
    if scheme != b"basic":
        raise NotAuthenticated("API key missing.", remedy=_SEND)
    if not basic:
        raise NotAuthenticated("Only the API's pages accept Basic authentication.", remedy=_SEND)
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        raise invalid_key() from None

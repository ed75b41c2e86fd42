"""The address and API key that a client uses."""

from __future__ import annotations

import ipaddress
import os
from typing import NamedTuple

import httpx

from leads_client.errors import InvalidInput
from leads_client.version import VERSION

DEFAULT_URL = "http://127.0.0.1:3000"
# A connection is used again only within this time. The service closes it after five seconds without a request, and
# whoever sends one at that moment gets no response.
_KEEP_ALIVE_S = 4.0
LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=_KEEP_ALIVE_S)


class Connection(NamedTuple):
    """How to open httpx's client. `trust_env`: whether to use proxies from the environment."""

    url: httpx.URL
    headers: dict[str, str]
    trust_env: bool


def connection(base_url: str | None, key: str | None) -> Connection:
    """Address and key as given, or else from LEADS_URL and LEADS_API_KEY. Without a key only `ready` works.

    Raises:
        InvalidInput: not a valid HTTP address or API key. The key isn't quoted.
    """
    url = _url(base_url or os.environ.get("LEADS_URL") or DEFAULT_URL)
    key = (key if key is not None else os.environ.get("LEADS_API_KEY", "")).strip()
    if key and not (key.isascii() and key.isprintable()):
        raise InvalidInput("Invalid API key.", field="key", remedy="Create one with: leads keys create")
    headers = {"user-agent": f"lead-serving-client/{VERSION}", **({"x-api-key": key} if key else {})}
    return Connection(url, headers, trust_env=not _is_loopback(url.host))


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise InvalidInput("Invalid address.", field="base_url", remedy=f"For example {DEFAULT_URL}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidInput("Not an HTTP address.", field="base_url", remedy=f"For example {DEFAULT_URL}.")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

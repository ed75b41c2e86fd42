"""Where a client sends its requests, and as whom."""

from __future__ import annotations

import ipaddress
import os
from typing import NamedTuple

import httpx

from leads_client.errors import InvalidInput

DEFAULT_URL = "http://127.0.0.1:3000"


class Connection(NamedTuple):
    """What httpx's clients are opened with. `trust_env`: whether proxies in the environment are used."""

    url: httpx.URL
    headers: dict[str, str]
    trust_env: bool


def connection(base_url: str | None, key: str | None) -> Connection:
    """Settle address and key: as given, else from LEADS_URL and LEADS_API_KEY. Without a key only `ready` answers.

    Raises:
        InvalidInput: this is no http address, or no key. The key isn't quoted.
    """
    url = _url(base_url or os.environ.get("LEADS_URL") or DEFAULT_URL)
    key = (key if key is not None else os.environ.get("LEADS_API_KEY", "")).strip()
    if key and not (key.isascii() and key.isprintable()):
        raise InvalidInput("This is no API key.", field="key", remedy="leads keys create makes one.")
    return Connection(url, {"x-api-key": key} if key else {}, trust_env=not _is_loopback(url.host))


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise InvalidInput("This is no address.", field="base_url", remedy=f"For example {DEFAULT_URL}.") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidInput("This is no http address.", field="base_url", remedy=f"For example {DEFAULT_URL}.")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

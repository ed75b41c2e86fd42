"""Addresses that the service listens on, and the URLs to reach it at."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"[\w.-]+")
# An address that means all of a host's addresses, and one of them that can be called.
_ALL = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def checked_host(text: str) -> str:
    """A host name or IP address; an IPv6 address may have brackets, which are removed.

    >>> checked_host("[::1]"), checked_host("localhost")
    ('::1', 'localhost')

    Raises:
        ValueError: it is something else, such as a URL.
    """
    host = text.strip()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if _NAME.fullmatch(host):
        return host
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        message = "must be a host name or an IP address, without scheme and port"
        raise ValueError(message) from None
    return host


def url_of(host: str, port: int, path: str = "") -> str:
    """The URL at which this host reaches a service that listens on `host`.

    >>> url_of("::1", 3000, "/readyz"), url_of("0.0.0.0", 3000), url_of("fe80::1%eth0", 3000)
    ('http://[::1]:3000/readyz', 'http://127.0.0.1:3000', 'http://[fe80::1%25eth0]:3000')
    """
    return f"http://{shown(reachable(host), port).replace('%', '%25')}{path}"


def reachable(host: str) -> str:
    """An address that this host can connect to: `0.0.0.0` and `::` only serve to listen.

    >>> reachable("::"), reachable("10.0.0.1")
    ('::1', '10.0.0.1')
    """
    return _ALL.get(host, host)


def without_credentials(uri: str) -> str:
    """A URI without user, password and query; `…` stands for what may be a part of a password.

    >>> without_credentials("https://user:secret@mlflow.example.com:8443/models?token=secret")
    'https://mlflow.example.com:8443/models'
    >>> without_credentials("sqlite:////srv/mlflow.db"), without_credentials("https://user:a/b@mlflow.example.com")
    ('sqlite:////srv/mlflow.db', 'https:…')
    """
    scheme, colon, _ = uri.partition(":")
    try:
        parts = urlsplit(uri)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"{scheme}:…" if colon else "…"
    if "@" in parts.path:
        # A password that isn't percent-encoded moves the end of the address: what is in front of it may be a secret.
        return f"{scheme}:…"
    host = parts.netloc.rpartition("@")[2].rpartition(":")[0] if port else parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{port}{parts.path}" if colon else uri


def shown(host: str, port: int) -> str:
    """
    >>> shown("::1", 3000), shown("localhost", 3000)
    ('[::1]:3000', 'localhost:3000')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address leads to this host itself, without a network in between.

    >>> is_loopback("::1"), is_loopback("localhost"), is_loopback("10.0.0.1")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_webhook(url: str) -> str:
    """A URL that webhooks may be sent to.

    >>> checked_webhook("https://hooks.example.com/leads")
    'https://hooks.example.com/leads'

    Raises:
        ValueError: it isn't one: plain HTTP is only for receivers on this host.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in ("http", "https") or not host or any(x.isspace() or not x.isprintable() for x in url):
        raise ValueError("must be a URL that begins with https://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or a password: the signature shows who sends")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https://, unless the receiver is on this host")
    return url

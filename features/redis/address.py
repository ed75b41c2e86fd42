"""Parses the addresses of Redis servers: URLs, and Feast's connection strings."""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, unquote_to_bytes, urlsplit

from leads.errors import ConfigurationError

_PORT, _SENTINEL_PORT = 6379, 26379
_URL = re.compile(r"[\w+.-]+://")
_AUTHORITY = re.compile(r"[^/?#]*")
_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
# Arguments of `redis.Redis` that an address may contain, and their types.
OPTIONS: Mapping[str, type] = {
    **dict.fromkeys(("db", "health_check_interval", "max_connections"), int),
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout"), float),
    **dict.fromkeys(("ssl", "ssl_check_hostname", "socket_keepalive", "single_connection_client"), bool),
    **dict.fromkeys(("ssl_validate_ocsp", "ssl_validate_ocsp_stapled", "retry_on_timeout"), bool),
    **dict.fromkeys(("username", "password", "unix_socket_path", "client_name", "lib_name", "lib_version"), str),
    **dict.fromkeys(("ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs", "ssl_ca_certs"), str),
    **dict.fromkeys(("ssl_ca_path", "ssl_ca_data", "ssl_ciphers", "encoding", "encoding_errors"), str),
}
# What Sentinel asks for may differ from what the server asks for.
SENTINEL_OPTIONS = {"sentinel_username": "username", "sentinel_password": "password"}
# Their values may contain commas, in Feast's format too.
_FREE_TEXT = frozenset(("username", "password", "ssl_password"))
_MUST_BE = {int: "a whole number", float: "a number", bool: "true or false"}
_CERT_REQS = ("none", "optional", "required")


class RedisAddress(NamedTuple):
    """Where Redis is, and how to connect.

    Args:
        nodes: host and port of the server, of a cluster's servers, or of Sentinels.
        options: arguments for `redis.Redis` except host and port.
        master: the name that Sentinel knows the server by; None: the nodes are servers.
        sentinel: user name and password of the Sentinels.
    """

    nodes: tuple[tuple[str, int], ...]
    options: Mapping[str, Any]
    master: str | None = None
    sentinel: Mapping[str, str] = {}

    @property
    def place(self) -> str:
        """The address to show: without user name and password.

        >>> parse_address("rediss://user:secret@[::1]/1").place
        '[::1]:6379, database 1'
        >>> parse_address("redis+sentinel://:secret@a,b:26380/main").place
        'a:26379, b:26380 (Sentinel, main)'
        """
        where = self.options.get("unix_socket_path") or ", ".join(f"{_bracketed(h)}:{p}" for h, p in self.nodes)
        named = f" (Sentinel, {self.master})" if self.master else ""
        return f"{where}{named}" + (f", database {self.options['db']}" if self.options.get("db") else "")


def parse_address(address: str, *, checked: bool = True) -> RedisAddress:
    """Parse an address.

    Args:
        checked: whether its options must be known; False: options that only clients of clusters know are allowed too.

    Raises:
        ConfigurationError: the address is malformed. The error doesn't quote it: it may contain a password.
    """
    address = address.strip()
    parsed = _from_url(address) if _URL.match(address) else _from_list(address, checked)
    return _consistent(parsed)


def redis_options(address: str) -> dict[str, Any]:
    """The arguments for `redis.Redis` that an address of one server means. Of several hosts, only the first counts.

    >>> redis_options("localhost:6379,db=1,ssl=true,password=secret")
    {'host': 'localhost', 'port': 6379, 'db': 1, 'ssl': True, 'password': 'secret'}
    >>> redis_options("rediss://:secret@localhost/1")
    {'host': 'localhost', 'port': 6379, 'db': 1, 'ssl': True, 'password': 'secret'}
    """
    parsed = parse_address(address)
    host, port = parsed.nodes[0]
    return {"host": host, "port": port, **parsed.options}


def feast_address(parsed: RedisAddress) -> str:
    """An address as Feast's connection string, for what reads that itself. It can't hold IPv6 addresses.

    >>> feast_address(parse_address("redis://user:a,b=c@localhost/2"))
    'localhost:6379,db=2,username="user",password="a\\\\u002cb=c"'
    """
    # Feast splits the text at commas before it parses the values as JSON.
    given = [f"{name}={json.dumps(value)}".replace(",", r"\u002c") for name, value in parsed.options.items()]
    return ",".join([*(f"{_bracketed(host)}:{port}" for host, port in parsed.nodes), *given])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _from_url(address: str) -> RedisAddress:
    scheme, _, rest = address.partition("://")
    if scheme not in _SCHEMES:
        raise _invalid("The URL doesn't begin with redis://, rediss://, unix:// or redis+sentinel://.")
    # Not by `urlsplit`, which knows URLs of one host, and drops some characters.
    authority = _AUTHORITY.match(rest)[0]  # type: ignore[index]
    user, _, hosts = authority.rpartition("@")
    username, _, password = user.partition(":")
    url = urlsplit(f"redis://host{rest.removeprefix(authority)}")
    options: dict[str, Any] = {}
    path = [part for part in url.path.split("/") if part]
    if scheme == "unix":
        if hosts or not path:
            raise _invalid("The URL has no path of a socket, as in unix:///run/redis.sock.")
        options["unix_socket_path"] = _unquoted(url.path)
        path, hosts = [], "localhost"
    master = (_unquoted(path.pop(0)) if path else "") if scheme.endswith("+sentinel") else None
    if master == "":
        raise _invalid("After the hosts, the URL lacks the name of the master, as in redis+sentinel://host/mymaster.")
    nodes = _url_nodes([hosts]) if master is None else _url_nodes(hosts.split(","), _SENTINEL_PORT)
    if url.fragment or len(path) > 1 or not all(part.isascii() and part.isdecimal() for part in path):
        raise _invalid("After the host, the URL has something else than the number of a database.")
    if path:
        options["db"] = int(path[0])
    if scheme.startswith("rediss"):
        options["ssl"] = True
    options |= {name: _unquoted(text) for name, text in (("username", username), ("password", password)) if text}
    given, sentinel = _query(url.query)
    if sentinel and master is None:
        raise _invalid("Only redis+sentinel:// URLs have options of Sentinel.")
    return RedisAddress(nodes, options | given, master, sentinel)


def _query(query: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What the part after the question mark says: options of the server, and of Sentinel."""
    given, sentinel = {}, {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:
        raise _invalid("An option of the URL isn't valid UTF-8.") from None
    for name, text in pairs:
        if name in SENTINEL_OPTIONS:
            sentinel[SENTINEL_OPTIONS[name]] = text
        else:
            # A URL has an escape of its own, so a text in it is no JSON.
            given[name] = text if OPTIONS.get(name) is str else _option(name, text)
    return given, sentinel


def _url_nodes(hosts: Sequence[str], default: int = _PORT) -> tuple[tuple[str, int], ...]:
    try:
        parts = [urlsplit(f"//{host}") for host in hosts]
        nodes = [(unquote(part.hostname or ""), part.port) for part in parts]
    except ValueError:
        # Its message quotes a part of the URL.
        raise _invalid("The host or the port of the URL is invalid.") from None
    if any(not host for host, _ in nodes):
        raise _invalid("The URL has no host.")
    if any(set(host) & set(", ") for host, _ in nodes):
        raise _invalid("The host or the port of the URL is invalid.")
    return tuple((host, _port("" if port is None else str(port), default)) for host, port in nodes)


def _from_list(address: str, checked: bool) -> RedisAddress:
    """Parse `host:port[,host:port …][,option=value …]`."""
    nodes: list[tuple[str, int]] = []
    options: dict[str, Any] = {}
    for part in _parts(address):
        name, is_option, value = part.partition("=")
        if is_option:
            options[name] = _option(name, value, checked=checked)
        elif part and options:
            raise _invalid("After an option comes something that isn't one.")
        elif part:
            nodes.append(_node(part))
    return RedisAddress(tuple(nodes) or (("localhost", _PORT),), options)


def _node(text: str) -> tuple[str, int]:
    if "@" in text:
        raise _invalid("The host contains @. Give user and password as username=…,password=…, or use a URL.")
    host, colon, port = text.rpartition(":") if "]:" in text else (text, "", "")
    if not text.startswith("["):
        host, colon, port = text.partition(":")
    if ":" in port:
        raise _invalid("The port isn't a number from 1 to 65535, or an IPv6 address has no brackets, as in [::1]:6379.")
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]")))
        except ValueError:
            raise _invalid("The host in brackets isn't an IPv6 address.") from None
    if colon and not port:
        raise _invalid("The port isn't a number from 1 to 65535.")
    return host or "localhost", _port(port, _PORT)


def _parts(address: str) -> Iterator[str]:
    """The parts between commas. A password may contain commas: it ends where another option begins."""
    whole: list[str] = []
    for part in address.rstrip(",").split(","):
        if whole and _continues(",".join(whole), part):
            whole.append(part)
            continue
        if whole:
            yield ",".join(whole)
        whole = [part]
    yield ",".join(whole)


def _continues(before: str, part: str) -> bool:
    """Whether `part` belongs to the value of the option in front of it."""
    name, is_option, value = before.partition("=")
    if not is_option or name not in _FREE_TEXT:
        return False
    if value.startswith('"'):
        # JSON: it ends with its quotation mark.
        return not _is_json(value)
    next_name, next_is_option, _ = part.partition("=")
    return not (next_is_option and next_name in OPTIONS)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _port(text: str, default: int) -> int:
    port = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else -1 if text else default
    if not 0 < port < 65_536:
        raise _invalid("The port isn't a number from 1 to 65535.")
    return port


def _unquoted(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except ValueError:
        raise _invalid("The URL's user name, password or path isn't valid UTF-8.") from None


def _option(name: str, text: str, *, checked: bool = True) -> Any:
    """The value of an option, which is JSON, or text without quotes."""
    type_ = OPTIONS.get(name)
    if type_ is None and checked:
        similar = difflib.get_close_matches(name, OPTIONS, 1)
        # The name may be a part of a password.
        raise _invalid(f"It has an unknown option; did you mean {similar[0]}?" if similar else "An option is unknown.")
    if type_ is str and not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if type_ is str:
        return value if isinstance(value, str) else text
    if type_ is not None and type(value) is not type_ and not (type_ is float and type(value) is int):
        raise _invalid(f"The option {name} must be {_MUST_BE[type_]}.")
    return value


def _consistent(parsed: RedisAddress) -> RedisAddress:
    options = parsed.options
    if not options.get("ssl") and any(name.startswith("ssl_") for name in options):
        raise _invalid("Options of TLS need rediss:// or ssl=true.")
    if options.get("ssl_cert_reqs", "none") not in _CERT_REQS:
        raise _invalid(f"The option ssl_cert_reqs must be {', '.join(_CERT_REQS[:-1])} or {_CERT_REQS[-1]}.")
    try:
        "".join(text for text in (*options.values(), *parsed.sentinel.values()) if isinstance(text, str)).encode()
    except UnicodeEncodeError:
        raise _invalid("It has characters that aren't valid UTF-8.") from None
    return parsed


def _invalid(message: str) -> ConfigurationError:
    return ConfigurationError(
        message,
        field="LEADS_REDIS_URL",
        remedy="Use host:port[,password=…,db=0], redis://[user:password@]host[:port][/db], with rediss:// for TLS, or "
        "redis+sentinel://[user:password@]host[:port],…/master[/db]. In a URL, percent-encode characters such as @ , / "
        "and # in a password.",
    )

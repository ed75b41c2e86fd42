"""Makes clients of Redis from the address in LEADS_REDIS_URL: a URL, or Feast's connection string."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from leads.errors import ConfigurationError, Unavailable

_PORT = 6379
_URL = re.compile(r"\w+://")
# Arguments of `redis.Redis` that an address may contain, and their types.
OPTIONS = {
    **dict.fromkeys(("db", "health_check_interval", "max_connections"), int),
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout"), float),
    **dict.fromkeys(("ssl", "ssl_check_hostname", "socket_keepalive", "single_connection_client"), bool),
    **dict.fromkeys(("ssl_validate_ocsp", "ssl_validate_ocsp_stapled", "retry_on_timeout"), bool),
    **dict.fromkeys(("username", "password", "unix_socket_path", "client_name", "lib_name", "lib_version"), str),
    **dict.fromkeys(("ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs", "ssl_ca_certs"), str),
    **dict.fromkeys(("ssl_ca_path", "ssl_ca_data", "ssl_ciphers", "encoding", "encoding_errors"), str),
}
_MUST_BE = {int: "a whole number", float: "a number", bool: "true or false"}


def redis_client(options: Mapping[str, Any], timeout_s: float) -> Any:
    """A client that doesn't retry: a failed call would take several times the timeout, or take effect twice.

    Args:
        options: arguments for `redis.Redis`.
        timeout_s: limit for connecting and for each read from the socket.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    return redis.Redis(**(timeouts | dict(options)), retry=Retry(NoBackoff(), 0), protocol=2)


def redis_options(address: str) -> dict[str, Any]:
    """Parse an address into arguments for `redis.Redis`.

    Of several hosts, as a cluster has, only the first counts.

    >>> redis_options("localhost:6379,db=1,ssl=true,password=secret")
    {'host': 'localhost', 'port': 6379, 'db': 1, 'ssl': True, 'password': 'secret'}
    >>> redis_options("rediss://:secret@localhost/1")
    {'host': 'localhost', 'port': 6379, 'db': 1, 'ssl': True, 'password': 'secret'}

    Raises:
        ConfigurationError: the address is malformed. The error doesn't quote it: it may contain a password.
    """
    if is_url(address):
        return _from_url(address)
    options: dict[str, Any] = {"host": "localhost", "port": _PORT}
    given = False
    for number, part in enumerate(address.strip().split(",")):
        name, is_option, value = part.partition("=")
        if is_option:
            given = True
            options[name] = _option(name, value)
        elif part and given:
            raise _invalid("After an option comes something that isn't one, or the password contains a comma.")
        elif part and not number:
            host, _, port = part.rpartition(":") if part.startswith("[") else part.partition(":")
            options |= {"host": host.strip("[]"), "port": _port(port)}
    return options


def is_url(address: str) -> bool:
    """Whether an address has the form of a URL."""
    return _URL.match(address.strip()) is not None


def feast_address(options: Mapping[str, Any]) -> str:
    """What `redis_options` parsed, as Feast's connection string.

    >>> feast_address(redis_options("redis://user:a,b=c@localhost/2"))
    'localhost:6379,db=2,username="user",password="a\\\\u002cb=c"'
    """
    host = options["host"]
    parts = [f"[{host}]:{options['port']}" if ":" in host else f"{host}:{options['port']}"]
    # Feast splits the text at commas before it parses the values as JSON.
    parts += [
        f"{name}={json.dumps(value)}".replace(",", r"\u002c")
        for name, value in options.items()
        if name not in ("host", "port")
    ]
    return ",".join(parts)


def access_refused(error: BaseException) -> Unavailable | None:
    """What to raise if Redis refused the password or a command; None if the error is another one."""
    import redis

    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthenticationWrongNumberOfArgsError):
        return Unavailable(
            "Redis refused the user name or password, or needs one.",
            field="LEADS_REDIS_URL",
            remedy="Set the right ones, for example LEADS_REDIS_URL=redis://user:password@host:6379/0",
        )
    if isinstance(error, redis.exceptions.NoPermissionError):
        return Unavailable(
            "Redis doesn't allow its user to run a command or to use a key.",
            field="LEADS_REDIS_URL",
            remedy="Check the user's permissions with ACL LIST.",
        )
    return None


def _from_url(address: str) -> dict[str, Any]:
    try:
        url = urlsplit(address.strip())
        host, port = url.hostname, url.port
    except ValueError:
        # Its message quotes a part of the URL.
        raise _invalid("The host or the port of the URL is invalid.") from None
    if url.scheme not in ("redis", "rediss"):
        raise _invalid("The URL doesn't begin with redis:// or rediss://.")
    if not host:
        raise _invalid("The URL has no host.")
    database = url.path.strip("/")
    if (database and not database.isdecimal()) or url.fragment:
        raise _invalid("After the host, the URL has something else than the number of a database.")
    options: dict[str, Any] = {"host": host, "port": _port("" if port is None else str(port))}
    if database:
        options["db"] = int(database)
    if url.scheme == "rediss":
        options["ssl"] = True
    options |= {
        name: unquote(value) for name, value in (("username", url.username), ("password", url.password)) if value
    }
    return options | {name: _option(name, value) for name, value in parse_qsl(url.query, keep_blank_values=True)}


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdecimal() else -1 if text else _PORT
    if not 0 < port < 65_536:
        raise _invalid("The port isn't a number from 1 to 65535.")
    return port


def _option(name: str, text: str) -> Any:
    """The value of an option, which is JSON, or text without quotes."""
    type_ = OPTIONS.get(name)
    if type_ is None:
        similar = difflib.get_close_matches(name, OPTIONS, 1)
        # The name may be a part of a password.
        raise _invalid(f"It has an unknown option; did you mean {similar[0]}?" if similar else "An option is unknown.")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if type_ is str:
        return value if isinstance(value, str) else text
    if type(value) is not type_ and not (type_ is float and type(value) is int):
        raise _invalid(f"The option {name} must be {_MUST_BE[type_]}.")
    return value


def _invalid(message: str) -> ConfigurationError:
    return ConfigurationError(
        message,
        field="LEADS_REDIS_URL",
        remedy="Use host:port[,password=…,db=0] or redis://[user:password@]host[:port][/db], with rediss:// for TLS. "
        "In a URL, percent-encode characters such as @ , / and # in a password.",
    )

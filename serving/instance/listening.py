"""The socket that the API listens on: bound by `leads serve`, or handed over by systemd, and shared by API processes.

It outlives the processes that accept its connections. While one of them is replaced, connections wait in its queue.
"""

from __future__ import annotations

import errno
import os
import socket

from leads import clock
from leads.environment import addresses
from leads.errors import ConfigurationError, LeadsError, Unavailable
from leads.settings import Settings

# Connections that wait until a process accepts them. Linux allows fewer if net.core.somaxconn is lower.
BACKLOG = 2048
# The first descriptor that systemd passes to a service.
_SYSTEMD_FD = 3


def listen(settings: Settings) -> socket.socket:
    """The socket from systemd (`LISTEN_FDS`) if there is one, else one that is bound to the settings' host and port.

    Raises:
        ConfigurationError: the host is not an address, or systemd passed something else than one TCP socket, or one of
            the network while LEADS_CLOCK sets the clock.
        Unavailable: the address can't be used, for example because the port is taken.
    """
    given = _from_systemd()
    if given is None:
        return bind(settings.host, settings.port)
    if settings.clock is not None and not addresses.is_loopback(given.getsockname()[0]):
        given.close()
        raise ConfigurationError(
            f"{clock.SETTING} sets the clock, and systemd passed a socket that others can reach.",
            field=clock.SETTING,
            remedy="Unset it, or let the socket unit listen on 127.0.0.1.",
        )
    return given


def bind(host: str, port: int) -> socket.socket:
    """Listen on an IPv4 or IPv6 address; raises as `listen`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(
            f"{host!r} is not an address of this host.",
            field="LEADS_HOST",
            remedy="Use 127.0.0.1 or ::1 for this host only, 0.0.0.0 or :: for all networks.",
        ) from error
    try:
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise _unusable(host, port, error) from error
    listener.setblocking(False)
    return listener


def adopt(descriptor: int) -> socket.socket:
    """The listening socket with this descriptor. Processes that this one starts don't inherit it by themselves."""
    listener = socket.socket(fileno=descriptor)
    listener.set_inheritable(False)
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL at which this host reaches the API.

    >>> with bind("127.0.0.1", 0) as listener:
    ...     url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
    True
    """
    host, port = listener.getsockname()[:2]
    return addresses.url_of(host, port)


def _from_systemd() -> socket.socket | None:
    given = {name: os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if given["LISTEN_PID"] != str(os.getpid()) or given["LISTEN_FDS"] in ("", "0"):
        return None
    if given["LISTEN_FDS"] == "1":
        listener = adopt(_SYSTEMD_FD)
        is_tcp = listener.family in (socket.AF_INET, socket.AF_INET6) and listener.type == socket.SOCK_STREAM
        if is_tcp and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return listener
    raise ConfigurationError(
        "systemd passed something else than one TCP socket that listens.",
        field="LISTEN_FDS",
        remedy="Give the socket unit one ListenStream= with an address and a port, for example 127.0.0.1:3000.",
    )


def _unusable(host: str, port: int, error: OSError) -> LeadsError:
    message = f"Can't listen on {addresses.shown(host, port)}: {error.strerror}."
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        remedy = "Use an address of this host, or 0.0.0.0 for all of them."
        return Unavailable(message, field="LEADS_HOST", remedy=remedy)
    if error.errno == errno.EACCES:
        remedy = "Ports below 1024 need a privilege. Choose a higher one: leads serve --port 3001"
    else:
        remedy = "Stop the process that uses it, or choose another port: leads serve --port 3001"
    return Unavailable(message, field="LEADS_PORT", remedy=remedy)

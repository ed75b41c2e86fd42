"""The socket is bound once, on IPv4 or IPv6, and what prevents that is said."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest

from leads.errors import ConfigurationError, Unavailable
from leads.settings import load_settings
from serving.instance import listening
from serving.instance.listening import adopt, bind, listen, url_of
from tests.support.serving.served import free_port

# Prints where it listens, and accepts a connection.
_SERVICE = """
import sys
from pathlib import Path
from leads.settings import load_settings
from serving.instance.listening import listen, url_of
with listen(load_settings(home=Path(sys.argv[1]), port=1)) as listener:
    print(url_of(listener), flush=True)
    listener.setblocking(True)
    listener.accept()[0].sendall(b"here")
"""


def answer_of(host: str, port: int) -> bytes:
    with socket.create_connection((host, port), timeout=30) as connection:
        return connection.recv(16)


def greet(listener: socket.socket) -> None:
    with listener.accept()[0] as connection:
        connection.sendall(b"here")


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("localhost", None)])
def test_it_listens_on_ipv4_and_ipv6(host: str, shown: str | None) -> None:
    with bind(host, 0) as listener:
        port = listener.getsockname()[1]
        if shown:
            assert url_of(listener) == f"http://{shown}:{port}"
        assert not listener.getblocking()
        assert not listener.get_inheritable()
        listener.setblocking(True)
        greeting = threading.Thread(target=greet, args=(listener,))
        greeting.start()
        assert answer_of(host, port) == b"here"
        greeting.join()


def test_all_networks_include_ipv4_and_ipv6() -> None:
    with bind("::", 0) as listener:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, listener.getsockname()[1]), timeout=30).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_an_error_that_says_what_to_do(host: str) -> None:
    with bind(host, 0) as other, pytest.raises(Unavailable, match="Address already in use") as refused:
        bind(host, other.getsockname()[1])
    assert refused.value.field == "LEADS_PORT"
    assert "--port" in (refused.value.remedy or "")


@pytest.mark.parametrize(
    ("host", "kind"),
    [("192.0.2.1", Unavailable), ("not an address", ConfigurationError), ("a" * 70, ConfigurationError)],
)
def test_an_address_of_no_network_here_names_the_host(host: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as refused:
        bind(host, free_port())
    assert refused.value.field == "LEADS_HOST"  # type: ignore[attr-defined]


def test_an_adopted_socket_is_the_same_one() -> None:
    with bind("127.0.0.1", 0) as listener, adopt(os.dup(listener.fileno())) as adopted:
        assert url_of(adopted) == url_of(listener)
        assert not adopted.get_inheritable()


def start_from_systemd(given: list[socket.socket], home: str) -> subprocess.Popen[str]:
    """The service as systemd starts it: its sockets are the descriptors from 3 on."""

    def pass_sockets() -> None:
        for n, one in enumerate(given):
            os.dup2(one.fileno(), 3 + n)

    shell = f'LISTEN_PID=$$ LISTEN_FDS={len(given)} exec "$0" -c "$1" "$2"'
    return subprocess.Popen(
        ["sh", "-c", shell, sys.executable, _SERVICE, home],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=pass_sockets,
        pass_fds=range(3, 3 + len(given)),
    )


def test_a_socket_from_systemd_is_used_instead_of_the_settings(tmp_path: str) -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        # It is in the queue before the service runs.
        with socket.create_connection(("127.0.0.1", port), timeout=60) as early:
            service = start_from_systemd([listener], str(tmp_path))
            assert early.recv(16) == b"here"
        said, failed = service.communicate(timeout=60)
    assert (said.strip(), service.returncode) == (f"http://127.0.0.1:{port}", 0), failed


def test_anything_else_from_systemd_is_an_error(tmp_path: str) -> None:
    with bind("127.0.0.1", 0) as one, bind("127.0.0.1", 0) as other, socket.socket() as idle:
        for given in ([one, other], [idle]):
            service = start_from_systemd(given, str(tmp_path))
            failed = service.communicate(timeout=60)[1]
            assert "systemd passed something else than one TCP socket that listens" in failed


def test_sockets_for_another_process_are_left_alone(tmp_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    port = free_port()
    with listen(load_settings(home=tmp_path, port=port)) as listener:
        assert url_of(listener) == f"http://127.0.0.1:{port}"
    # Children must not take them for theirs.
    assert "LISTEN_FDS" not in os.environ


@pytest.mark.parametrize(("host", "refused"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_while_the_clock_is_set_a_socket_of_the_network_is_refused(
    host: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = bind(host, 0)
    monkeypatch.setattr(listening, "_from_systemd", lambda: given)
    monkeypatch.setenv("LEADS_CLOCK", "2025-01-10T00:00:00Z")
    settings = load_settings()
    if refused:
        with pytest.raises(ConfigurationError, match="a socket that others can reach"):
            listen(settings)
        assert given.fileno() == -1
    else:
        with listen(settings) as found:
            assert found is given

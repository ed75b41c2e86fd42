"""Starts the measured servers, waits for them, reads their processor time and memory from /proc, and stops them."""

from __future__ import annotations

import http.client
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from benchmarks.report import REPOSITORY
from leads.errors import Unavailable
from leads.processes import python, start, stop
from leads.settings import Settings
from serving.instance.listening import bind

_START_S = 150.0
_TAIL = 3_000
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Server:
    """A running child process that listens on `port` of loopback."""

    name: str
    port: int
    child: Popen[bytes]
    log: Path

    def cpu_s(self) -> float:
        """User and system seconds so far of the child and all its living descendants."""
        return sum(_cpu_s(pid) for pid in tree(self.child.pid))

    def workers(self) -> list[int]:
        """The processes that answer requests: those in the tree without children of their own."""
        parents = _parents()
        family = tree(self.child.pid)
        return [pid for pid in family if pid not in {parents.get(other) for other in family}]

    def rss_mb(self) -> float:
        """Resident memory of the largest worker, in MB."""
        return max(rss_mb(pid) for pid in self.workers())

    def pss_mb(self) -> float:
        """The same, but with each page counted once, however often it is mapped."""
        return max(pss_mb(pid) for pid in self.workers())


@contextmanager
def launched(
    name: str, command: Sequence[str], port: int, *, env: Mapping[str, str], log: Path, descriptors: Sequence[int] = ()
) -> Iterator[Server]:
    """Run a server until the block ends; it may not be ready yet.

    Args:
        descriptors: sockets of this process that the server gets.
    """
    child = start(command, env=env, log=log, descriptors=descriptors)
    try:
        yield Server(name, port, child, log)
    finally:
        stop(child)


@contextmanager
def command(settings: Settings, log: Path, *words: str, **variables: str) -> Iterator[Popen[bytes]]:
    """`leads …` in a home until the block ends, with more variables in its environment."""
    env = {**environment(settings), **variables}
    with launched(words[0], python("cli", *words), 0, env=env, log=log) as server:
        yield server.child


def run(settings: Settings, log: Path, *words: str, **variables: str) -> None:
    """Run `leads …` in a home to its end.

    Raises:
        Unavailable: it failed; shows the end of its log.
    """
    with command(settings, log, *words, **variables) as child:
        if code := child.wait():
            raise Unavailable(f"`leads {words[0]}` exited with {code}. The end of its log:\n{tail(log)}")


def wait_until_ready(server: Server, path: str) -> None:
    """Wait until `GET path` answers 200.

    Raises:
        Unavailable: the server ended or took too long; shows the end of its log.
    """
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.child.poll() is None:
        try:
            if get(server.port, path)[0] == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.1)
    raise Unavailable(f"{server.name} did not start. The end of its log:\n{tail(server.log)}")


def tail(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-_TAIL:] if log.exists() else ""


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def bento_command(target: str, port: int) -> list[str]:
    """`bentoml serve` for a service of this project."""
    serve = [sys.executable, "-m", "bentoml", "serve", target, "--working-dir", str(REPOSITORY)]
    return [*serve, "--host", "127.0.0.1", "--port", str(port), "--timeout-graceful-shutdown", "5"]


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give a child process these settings."""
    bento_home = settings.root / "bentoml"
    bento_home.mkdir(parents=True, exist_ok=True)
    env = {
        "LEADS_HOME": str(settings.root),
        "LEADS_CORPORA": str(settings.corpora_dir or "none"),
        "LEADS_ONLINE_STORE": settings.online_store,
        "BENTOML_HOME": str(bento_home),
        "PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "clients" / "python"))),
    }
    if settings.redis_url is not None:
        env["LEADS_REDIS_URL"] = settings.redis_url.get_secret_value()
    if settings.database_url is not None:
        env["LEADS_DATABASE_URL"] = settings.database_url.get_secret_value()
    return env


@contextmanager
def our_service(name: str, settings: Settings, workers: int = 1) -> Iterator[Server]:
    """This service, starting up, in processes as `leads serve` starts them. Yields the first one."""
    metrics, log = settings.root / "metrics", settings.root / "logs" / "serve.log"
    metrics.mkdir(parents=True, exist_ok=True)
    env = environment(settings) | {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    with bind("127.0.0.1", 0) as listener, ExitStack() as running:
        port, descriptors = listener.getsockname()[1], [listener.fileno()]
        command = python("serving.instance.api", "--listener", str(listener.fileno()))
        servers = [
            running.enter_context(launched(name, command, port, env=env, log=log, descriptors=descriptors))
            for _ in range(workers)
        ]
        yield servers[0]


@contextmanager
def noop_service(settings: Settings) -> Iterator[Server]:
    """The service whose route does nothing, starting up."""
    port = free_port()
    command = bento_command("benchmarks.serving.systems.noop:NoopService", port)
    log = settings.root / "logs" / "noop.log"
    with launched("the no-op service", command, port, env=environment(settings), log=log) as server:
        yield server


@contextmanager
def follower(settings: Settings) -> Iterator[Popen[bytes]]:
    """The process that follows MLflow's aliases for the service."""
    log = settings.root / "logs" / "follower.log"
    child = start([sys.executable, "-m", "serving.versions.follower"], env=environment(settings), log=log)
    try:
        yield child
    finally:
        stop(child)


def tree(root: int) -> list[int]:
    """A process and its living descendants."""
    parents = _parents()
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def pss_mb(pid: int) -> float:
    """Resident memory in MB with each page counted once; 0 when the process is gone."""
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return int(found.group(1)) / 1_024 if found else 0.0


def rss_mb(pid: int) -> float:
    """Resident memory in MB; 0 when the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _parents() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        fields = _stat(int(folder.name))
        if fields:
            found[int(folder.name)] = int(fields[1])
    return found


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat behind the name; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []

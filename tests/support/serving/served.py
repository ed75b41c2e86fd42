"""The service as a user starts it, by `bentoml serve`, until the test is done."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from leads.errors import Unavailable
from leads.processes import start, stop
from leads.settings import Settings
from serving.instance.processes import environment
from tests.support.paths import REPOSITORY

_START_S = 150


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def served(
    settings: Settings,
    key: str,
    target: Sequence[str],
    *,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    workers: int = 1,
    port: int | None = None,
) -> Iterator[httpx.Client]:
    """`bentoml serve` with this target until the block ends, as `leads serve` starts it; by default on a free port."""
    port, log = port or free_port(), settings.root / "serve.log"
    own = environment(settings.model_copy(update={"workers": workers})) | {"PYTHONPATH": ""}
    command = [sys.executable, "-m", "bentoml", "serve", *target, "--host", "127.0.0.1", "--port", str(port)]
    here = Path.cwd()
    os.chdir(folder or REPOSITORY)
    try:
        child = start([*command, "--timeout-graceful-shutdown", "5"], env={**own, **(env or {})}, log=log)
    finally:
        os.chdir(here)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"x-api-key": key}, timeout=30, trust_env=False
        ) as client:
            _wait_until_ready(client, child, log, workers)
            yield client
    finally:
        stop(child)


def api_workers(client: httpx.Client) -> list[psutil.Process]:
    """The processes that answer at the client's address."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            listens = any(x.laddr.port == client.base_url.port for x in process.net_connections("tcp"))
            if listens and {"_bentoml_impl.worker.service", "serving.instance.api"} & set(process.cmdline()):
                found.append(process)
    return found


def _wait_until_ready(client: httpx.Client, child: subprocess.Popen[bytes], log: Path, workers: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and child.poll() is None:
        try:
            if client.get("/readyz").status_code == 200 and len(api_workers(client)) == workers:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise Unavailable(f"The service did not start:\n{log.read_text()[-3_000:]}")

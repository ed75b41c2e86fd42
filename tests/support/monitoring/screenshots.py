"""Takes the screenshots of docs/monitoring.md from a home in which monitoring ran, with Debian's chromium.

python -m tests.support.monitoring.screenshots HOME [HARM]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_server

import httpx

from leads import clock
from leads.processes import QUIET
from leads.settings import load_settings
from monitoring.output.evidently_workspace import FOLDER
from monitoring.output.reports import write_evidently
from monitoring.running.opened import opened_world
from monitoring.running.run import run
from tests.support.paths import REPOSITORY

IMAGES = REPOSITORY / "docs" / "images"
_START_S = 120


@contextmanager
def evidently_ui(workspace: Path, folder: Path, *options: str) -> Iterator[str]:
    """The address of an Evidently server; what it prints is in `log` in the folder."""
    with closing(create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    program = Path(sys.executable).parent / "evidently"
    command = [str(program), "ui", "--workspace", str(workspace), "--port", str(port)]
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), **QUIET}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log, env=own)
        try:
            _wait(process, f"http://127.0.0.1:{port}", folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < until, log.read_text()
        try:
            if httpx.get(f"{address}/api/version", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)


def shoot(address: str, image: Path, *, width: int = 1_200, height: int = 1_000, wait_s: int = 20) -> None:
    """Write what a browser shows at an address."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "apt-get install chromium"
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [
                chromium,
                *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"),
                *(f"--window-size={width},{height}", f"--virtual-time-budget={wait_s * 1_000}"),
                *(f"--screenshot={image}", address),
            ],
            check=True,
            capture_output=True,
            timeout=180,
        )


def add_past_days(home: Path, days: int = 7) -> None:
    """Measure the days before, and give Evidently their snapshots, as if a run had ended each of them."""
    settings = load_settings(home=home)
    today = clock.now() // clock.DAY * clock.DAY
    for day in range(days):
        until = today - day * clock.DAY
        with opened_world(settings) as world:
            run(world, until=until)
        with opened_world(settings, now=until + 10 * clock.MINUTE) as world:
            write_evidently(world, "")


def main(home: Path, harm: str | None = None) -> None:
    """Write the images; the harm is by default the first with a report of drift."""
    add_past_days(home)
    reports = home / "reports" / "monitoring"
    report = sorted(reports.glob(f"{harm or '*'}/evidently-*.html"))[-1]
    shoot((report.parent / "latest.html").as_uri(), IMAGES / "monitoring-page.png", height=2_600, wait_s=1)
    shoot(report.as_uri(), IMAGES / "evidently-report.png")
    with tempfile.TemporaryDirectory() as folder, evidently_ui(home / FOLDER, Path(folder)) as address:
        shoot(address, IMAGES / "evidently-projects.png", height=700)
        projects = httpx.get(f"{address}/api/v2/projects", trust_env=False).json()
        project = next(one for one in projects if one["name"].endswith(f"({report.parent.name})"))
        shoot(f"{address}/projects/{project['id']}", IMAGES / "evidently-dashboard.png", height=1_500)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:3])

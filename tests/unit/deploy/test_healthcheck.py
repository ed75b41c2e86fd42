"""The containers' health check."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from leads.files import only_one
from monitoring.running.watching import WATCH_LOCK
from tests.support.paths import REPOSITORY

SCRIPT = REPOSITORY / "deploy" / "healthcheck.py"


@pytest.fixture
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("role", "lock"),
    [("worker", "worker-0of1.lock"), ("follower", "published/.follower.lock"), ("monitor", WATCH_LOCK)],
)
def test_who_holds_its_lock_is_working(check: ModuleType, tmp_path: Path, role: str, lock: str) -> None:
    env = {"LEADS_HOME": str(tmp_path)}
    assert "No process holds" in check.problem(role, env)
    with only_one(tmp_path / lock, what="working"):
        assert check.problem(role, env) is None
    # The file of a process that ended is still there.
    assert "No process holds" in check.problem(role, env)


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


def test_who_answers_is_working(check: ModuleType) -> None:
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_port)
        assert check.problem("api", {"LEADS_PORT": port}) is None
        assert "404" in check.problem("mlflow", {"MLFLOW_PORT": port})
        server.shutdown()
    assert "failed" in check.problem("api", {"LEADS_PORT": port})


def test_the_exit_code_says_it(tmp_path: Path) -> None:
    env = {**os.environ, "LEADS_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "worker"], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "No process holds" in done.stderr) == (1, True)
    with only_one(tmp_path / "worker-0of1.lock", what="working"):
        assert subprocess.run([sys.executable, "-I", "-S", str(SCRIPT), "worker"], env=env, check=False).returncode == 0

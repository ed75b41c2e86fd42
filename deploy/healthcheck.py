"""Checks whether a container's process works; exits with 1 and a reason if it doesn't.

    python healthcheck.py api | worker | follower | monitor | mlflow

Uses only the standard library. Workers, followers and monitors are working while they hold their lock. That is read
from the kernel's table of locks: taking the lock to try it could keep a process from starting.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

_TIMEOUT_S = 4.0
_URLS = {
    "api": "http://127.0.0.1:{LEADS_PORT}/livez",
    "mlflow": "http://127.0.0.1:{MLFLOW_PORT}/health",
}
_LOCKS = {"worker": "worker-*of*.lock", "follower": "published/.follower.lock", "monitor": "locks/monitor-watch.lock"}


def problem(role: str, environment: dict[str, str], locks: Path = Path("/proc/locks")) -> str | None:
    """Why the process isn't working; None if it is."""
    if role in _URLS:
        return _problem_at(_URLS[role].format_map({"LEADS_PORT": "3000", "MLFLOW_PORT": "5000", **environment}))
    if role not in _LOCKS:
        return f"Unknown role {role!r}. Use one of: {', '.join((*_URLS, *_LOCKS))}."
    home = Path(environment.get("LEADS_HOME", "var"))
    held = {line.split()[-3].rpartition(":")[2] for line in locks.read_text().splitlines() if " FLOCK " in line}
    if not any(str(path.stat().st_ino) in held for path in home.glob(_LOCKS[role])):
        return f"No process holds {_LOCKS[role]} in {home}."
    return None


def _problem_at(url: str) -> str | None:
    # Not through a proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_TIMEOUT_S):
            return None
    except (urllib.error.URLError, OSError) as error:
        return f"{url} failed: {error}"


if __name__ == "__main__":
    sys.exit(problem(sys.argv[1] if len(sys.argv) > 1 else "", dict(os.environ)))

"""What a restart takes from the settings that it reads again."""

from __future__ import annotations

import threading
from types import SimpleNamespace

from leads.settings import Settings
from serving.instance.rolling import RollingRestart


def test_an_instance_keeps_its_address(settings: Settings) -> None:
    now = settings.model_copy(update={"host": "127.0.0.1", "port": 3001})
    read = settings.model_copy(update={"host": "::1", "port": 3000, "workers": 3})
    processes = SimpleNamespace(settings=now, with_worker=False)
    request = SimpleNamespace(id="r1", environment_of=None)
    restart = RollingRestart(processes, request, lambda: read, threading.Event())  # type: ignore[arg-type]
    found = restart._settings()
    assert (found.host, found.port, found.workers) == ("127.0.0.1", 3001, 3)

"""Why a process failed is one line, whatever it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving.instance.reasons import reason_in

TRACEBACK = """Traceback (most recent call last):
  File "<string>", line 1, in <module>
    import serving.supervisor
leads.errors.ConfigurationError: /etc/policies.yaml:3: 'severity' is missing. Add it.
"""


def line(level: str, message: str, logger: str = "serving.service") -> str:
    return json.dumps({"time": "…", "level": level, "logger": logger, "message": message}) + "\n"


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", "It wrote nothing."),
        (line("info", "loaded leads-spam version 1"), "It wrote nothing."),
        (TRACEBACK, "/etc/policies.yaml:3: 'severity' is missing. Add it."),
        ("ModuleNotFoundError: No module named 'msgspec'\n", "ModuleNotFoundError: No module named 'msgspec'"),
        ("warning: LEADS_PROT isn't a setting\nerror: The database is locked.\n", "The database is locked."),
        (
            line("error", "the API can't start: No such database.")
            + line("error", "Traceback (most recent call last):\n  File x\nRuntimeError: no", "uvicorn.error")
            + line("error", "Application startup failed. Exiting.", "uvicorn.error"),
            "the API can't start: No such database.",
        ),
        (
            "2026-03-01T12:00:00Z ERROR serving.service: the API can't start: No.\n"
            "2026-03-01T12:00:00Z ERROR uvicorn.error: Application startup failed. Exiting.\n",
            "the API can't start: No.",
        ),
        (line("error", "Traceback:\n  File x\nRuntimeError: no\n", "uvicorn.error"), "RuntimeError: no"),
    ],
)
def test_the_reason_is_one_line(tmp_path: Path, log: str, reason: str) -> None:
    path = tmp_path / "api.log"
    path.write_text(log)
    assert reason_in(path) == reason


def test_what_was_written_before_the_process_started_is_not_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    path.write_text(line("error", "Another one's."))
    began = path.stat().st_size
    assert reason_in(path, began) == "It wrote nothing."
    path.write_text(path.read_text() + line("critical", "Its own."))
    assert reason_in(path, began) == "Its own."
    assert reason_in(tmp_path / "nothing.log") == "It wrote nothing."

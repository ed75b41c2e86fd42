"""Checks run side by side, errors become findings, and one that hangs is given up on."""

from __future__ import annotations

import threading

from cli.checks.findings import Check, Finding, failing, run_checks
from leads.errors import Unavailable


def raises(error: Exception) -> Finding:
    raise error


def test_errors_and_hanging_checks_are_findings() -> None:
    together = threading.Barrier(2)
    never = threading.Event()

    def meet() -> Finding:
        # Both wait for each other, so they run at the same time.
        together.wait(60)
        return Finding("met", "ok", "")

    wrong = Unavailable("It is down.", field="LEADS_X", remedy="Start it.")
    found = run_checks(
        [
            Check("first", meet, limit_s=60),
            Check("second", lambda: [meet(), meet_again()], limit_s=60),
            Check("ours", lambda: raises(wrong), "It matters.", limit_s=60),
            Check("theirs", lambda: raises(ValueError("hunter2")), limit_s=60),
            Check("hangs", lambda: raises(ValueError(str(never.wait()))), limit_s=0.01),
        ]
    )
    never.set()
    assert [one.check for one in found] == ["met", "met", "again", "ours", "theirs", "hangs"]
    assert found[3] == Finding("ours", "failed", "LEADS_X: It is down.", "It matters.", "Start it.")
    assert "ValueError" in found[4].detail
    assert "hunter2" not in found[4].detail
    assert found[5].detail == "There was no answer within 0.01 s."


def meet_again() -> Finding:
    return Finding("again", "ok", "")


def test_what_is_not_running_fails_only_if_it_is_required() -> None:
    found = [
        Finding("api", "not_running", ""),
        Finding("worker 1", "not_running", ""),
        Finding("disk", "warning", ""),
        Finding("mlflow", "failed", ""),
    ]
    assert [one.check for one in failing(found)] == ["mlflow"]
    assert [one.check for one in failing(found, ("worker", "follower"))] == ["worker 1", "mlflow"]

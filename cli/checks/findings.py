"""What a check finds, and how checks run: side by side, each for a limited time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from leads.errors import LeadsError

State = Literal["ok", "warning", "failed", "not_running"]
# A server has this long to connect and to answer.
ANSWER_S = 2.0
# A check, with all its calls and imports, has this long; slow ones have their own limit.
LIMIT_S = 10.0


class Finding(msgspec.Struct, frozen=True):
    """The result of one check.

    Args:
        check: what was checked, for example `database`. Names stay the same between releases.
        detail: what was found, as one or more sentences, without passwords.
        why: why it matters; empty if it is ok.
        remedy: what to do; empty if nothing has to be done.
    """

    check: str
    state: State
    detail: str
    why: str = ""
    remedy: str = ""


class Check(msgspec.Struct, frozen=True):
    """A check to run.

    Args:
        run: returns what it found; a LeadsError counts as failed.
        why: why it matters, for errors.
    """

    name: str
    run: Callable[[], Finding | Sequence[Finding]]
    why: str = ""
    limit_s: float = LIMIT_S


def run_checks(checks: Iterable[Check]) -> list[Finding]:
    """Run the checks side by side; returns what they found, in the order of the checks."""
    running = [_Running(check) for check in checks]
    return [finding for one in running for finding in one.result()]


def failing(findings: Iterable[Finding], required: Sequence[str] = ()) -> list[Finding]:
    """The findings that make a command fail.

    Args:
        required: names of parts that must run; `worker` stands for the workers of all partitions.
    """
    return [
        one
        for one in findings
        if one.state == "failed" or (one.state == "not_running" and one.check.partition(" ")[0] in required)
    ]


class _Running:
    """A check in a thread of its own. The process can end although it hangs."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._found: Sequence[Finding] | None = None
        self._thread = threading.Thread(target=self._run, name=f"check {check.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            found = self._check.run()
        except LeadsError as error:
            where = f"{error.field}: " if error.field else ""
            found = self._failed(f"{where}{error.message}", error.remedy or "")
        # A library may raise anything, and its message may quote a password.
        except Exception as error:
            found = self._failed(f"The check failed with {type(error).__name__}.", "Run the command again with -v.")
        self._found = [found] if isinstance(found, Finding) else found

    def result(self) -> Sequence[Finding]:
        self._thread.join(self._check.limit_s)
        if self._found is None:
            return [self._failed(f"There was no answer within {self._check.limit_s:g} s.", "Check that it responds.")]
        return self._found

    def _failed(self, detail: str, remedy: str) -> Finding:
        return Finding(self._check.name, "failed", detail, self._check.why, remedy)

"""What becomes known of a request while it is worked on, for its line in the log, its metrics and its trace.

The middleware opens the notes; scoring, in whichever thread, adds to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar, Token

from serving.scoring.stages import Stage

_current: ContextVar[Notes | None] = ContextVar("leads_request_notes", default=None)


class Notes:
    """Of one request; one thread at a time writes them. Of what was sent, nothing gets in but the number of subjects.

    Args:
        request_id: as the answer names it.
    """

    __slots__ = ("harms", "key_id", "request_id", "stages", "subjects", "trace_id", "versions")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.key_id: str | None = None
        self.trace_id: str | None = None
        self.subjects: int | None = None
        self.harms: tuple[str, ...] = ()
        self.versions: tuple[str, ...] = ()
        self.stages: Sequence[Stage] = ()

    def note_scoring(
        self, stages: Sequence[Stage], *, subjects: int, harms: Iterable[str] = (), versions: Iterable[str] = ()
    ) -> None:
        """Note a scoring call: where its time went, how many subjects, under which harms, by which versions."""
        self.stages, self.subjects = stages, subjects
        self.harms, self.versions = tuple(harms), tuple(versions)


def current() -> Notes | None:
    """The notes of the request that is being worked on here; None outside of one."""
    return _current.get()


def set_current(notes: Notes) -> Token[Notes | None]:
    """Make these the current notes, here and in the threads that work for this request, until `closed`."""
    return _current.set(notes)


def reset_current(token: Token[Notes | None]) -> None:
    _current.reset(token)

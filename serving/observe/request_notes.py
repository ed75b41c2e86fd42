"""Facts about the current request, collected for its line in the access log, its metrics and its trace.

The middleware creates the notes, and scoring adds to them, in whichever thread it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar, Token

from serving.scoring.stages import Stage

_current: ContextVar[Notes | None] = ContextVar("leads_request_notes", default=None)


class Notes:
    """Notes about one request. They contain no input. Not thread-safe.

    `admin_for`: the scopes that the request needed and that its key has only through `admin`.

    Args:
        request_id: the id that the response carries in X-Request-Id.
    """

    __slots__ = ("admin_for", "harms", "key_id", "request_id", "stages", "subjects", "trace_id", "versions")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.key_id: str | None = None
        self.admin_for: tuple[str, ...] = ()
        self.trace_id: str | None = None
        self.subjects: int | None = None
        self.harms: tuple[str, ...] = ()
        self.versions: tuple[str, ...] = ()
        self.stages: Sequence[Stage] = ()

    def note_scoring(
        self, stages: Sequence[Stage], *, subjects: int, harms: Iterable[str] = (), versions: Iterable[str] = ()
    ) -> None:
        """Note a scoring call: its stages, number of subjects, harms, and versions."""
        self.stages, self.subjects = stages, subjects
        self.harms, self.versions = tuple(harms), tuple(versions)


def current() -> Notes | None:
    """The notes of the current request; None outside a request."""
    return _current.get()


def set_current(notes: Notes) -> Token[Notes | None]:
    """Make `notes` current in this context and the threads started from it, until `reset_current`."""
    return _current.set(notes)


def reset_current(token: Token[Notes | None]) -> None:
    """Undo `set_current`."""
    _current.reset(token)

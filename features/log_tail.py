"""The end of the event log that a fold hasn't read yet, and the check that the rest is what was folded."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.db import event_log
from leads.db.engine import reading
from leads.errors import ConfigurationError
from leads.events import LoggedEvent


class LogTail:
    """Reads events in batches, and one more, so that a reader of a batch knows when the next event became visible.

    What a reader doesn't use of a batch, it puts back. No event is read from the log twice.

    Args:
        limit: the most events of a batch.
    """

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine = engine
        self._limit = limit
        self._next: list[LoggedEvent] = []
        self._after = 0
        self._until: int | None = None

    def read(self, after: int, until: int | None = None) -> list[LoggedEvent]:
        """The next events after an offset, in order.

        Args:
            until: leave out the events after this offset, also in `following`.
        """
        self._until = until
        known = self._next if self._after == after else []
        if len(known) <= self._limit:
            last = known[-1].offset if known else after
            known = [*known, *event_log.read(self._engine, last, limit=self._limit + 1 - len(known))]
        end = min(self._limit, len(known))
        if until is not None:
            end = bisect_right(known, until, hi=end, key=lambda logged: logged.offset)
        batch, self._next = known[:end], known[end:]
        self._after = batch[-1].offset if batch else after
        return batch

    def put_back(self, events: list[LoggedEvent], after: int) -> None:
        """Let the next batch begin with these: the end of the last one, after an offset."""
        self._next, self._after = [*events, *self._next], after

    @property
    def following(self) -> LoggedEvent | None:
        """The next event, if it was in the log when the last batch was read."""
        if not self._next or (self._until is not None and self._next[0].offset > self._until):
            return None
        return self._next[0]


def check_log(engine: Engine, folded: Iterable[tuple[int, Micros]]) -> None:
    """Check that the log still holds what was folded. If its database is restored from a backup, it may not.

    Args:
        folded: offsets and `visible_at` of events that were folded; of earlier releases, only the offset is known.

    Raises:
        ConfigurationError: the log ends before such an event, or holds another one in its place.
    """
    with reading(engine) as connection:
        for offset, at in folded:
            found = event_log.visible_at(connection, offset)
            if offset and (not found or (at and at != found)):
                what = "another one is in its place" if found else "the log ends before it"
                raise ConfigurationError(
                    f"The feature rows were derived from another event log: they include event {offset:,}, but {what}.",
                    field="LEADS_DATABASE_URL",
                    remedy="If the database was restored from a backup, derive the rows again from what it holds: "
                    "leads worker --rebuild --once. Otherwise, check LEADS_DATABASE_URL and LEADS_HOME.",
                )

"""What a subject holds now: the body of its newest `item_created` event.

`current_items` reads through a SQLAlchemy connection; `StoredItems` is its fast path for scoring. Both use the same
query and the same decoding.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection, Engine

from leads.db.engine import reading
from leads.db.subject_events import RawEvent, raw_events, raw_events_on
from leads.errors import Unavailable
from leads.events import ItemCreated, Subject, SubjectRef

_KIND = "item_created"
_TIMEOUT_S = 2.0


class _Ref(msgspec.Struct):
    type_id: str
    id: str


class _Body(msgspec.Struct, tag=_KIND):
    subject: _Ref
    account_id: str | None = None
    parent: _Ref | None = None
    text: str = ""
    duration_s: float | None = None


class _Stored(msgspec.Struct):
    """A stored event without constraints: it was validated when it was appended, and validating is half of the cost."""

    body: _Body


_decode = msgspec.json.Decoder(_Stored).decode


def current_items(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, ItemCreated]:
    """What the subjects hold now; unknown subjects are absent."""
    return _newest(raw_events_on(connection, subjects, _KIND))


class StoredItems:
    """`current_items` for scoring. Thread-safe.

    SQLite is read with its driver, on one read-only connection per thread; other databases through the engine.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._local = threading.local()

    def of(self, subjects: Iterable[Subject]) -> dict[Subject, ItemCreated]:
        """What the subjects hold now; unknown subjects are absent.

        Raises:
            Unavailable: the database can't be read.
        """
        if self._path is None:
            with reading(self._engine) as connection:
                return current_items(connection, subjects)
        try:
            return _newest(raw_events(self._connection().execute, "sqlite", subjects, _KIND))
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self._local = threading.local()
            raise Unavailable(
                f"Can't read the database ({type(error).__name__}).",
                field="LEADS_HOME",
                remedy="Check the folder's permissions and free space.",
            ) from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            assert self._path is not None
            address = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(address, uri=True, timeout=_TIMEOUT_S, isolation_level=None)
            self._local.connection = connection
        return connection


def _newest(events: Iterable[RawEvent]) -> dict[Subject, ItemCreated]:
    """The newest body per subject, from `item_created` events in the order of the log."""
    found: dict[Subject, ItemCreated] = {}
    for _, _, raw in events:
        body = _decode(raw).body
        subject, parent = body.subject, body.parent
        found[Subject(subject.type_id, subject.id)] = ItemCreated(
            SubjectRef(subject.type_id, subject.id),
            body.account_id,
            SubjectRef(parent.type_id, parent.id) if parent else None,
            body.text,
            body.duration_s,
        )
    return found

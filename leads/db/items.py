"""What a subject holds: the bodies of its `item_created` events, of which the one that occurred last holds now.

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

from leads.clock import Micros
from leads.content import Content, newest
from leads.db.engine import reading
from leads.db.subject_events import RawEvent, raw_events, raw_events_on
from leads.errors import Unavailable
from leads.events import ItemCreated, Subject, SubjectRef
from leads.rules import happened_at

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

    occurred_at: int
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


def contents(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, list[Content]]:
    """Every version of the subjects' content, in the order of the log; unknown subjects are absent."""
    found: dict[Subject, list[Content]] = {}
    for offset, visible_at, raw in raw_events_on(connection, subjects, _KIND):
        stored = _decode(raw)
        subject = Subject(stored.body.subject.type_id, stored.body.subject.id)
        version = Content.of(offset, stored.occurred_at, visible_at, _item(stored.body))
        found.setdefault(subject, []).append(version)
    return found


def current_contents(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, Content]:
    """The version that the subjects hold now; unknown subjects are absent."""
    found = {subject: newest(versions) for subject, versions in contents(connection, subjects).items()}
    return {subject: content for subject, content in found.items() if content is not None}


def _newest(events: Iterable[RawEvent]) -> dict[Subject, ItemCreated]:
    """What each subject holds, from `item_created` events in the order of the log.

    The rule of `leads.content.newest`, without building the versions that do not hold: scoring waits for this.
    """
    found: dict[Subject, ItemCreated] = {}
    times: dict[Subject, Micros] = {}
    for _, visible_at, raw in events:
        stored = _decode(raw)
        subject = Subject(stored.body.subject.type_id, stored.body.subject.id)
        at = happened_at(stored.occurred_at, visible_at)
        if subject in found and at < times[subject]:
            continue
        found[subject], times[subject] = _item(stored.body), at
    return found


def _item(body: _Body) -> ItemCreated:
    subject, parent = body.subject, body.parent
    return ItemCreated(
        SubjectRef(subject.type_id, subject.id),
        body.account_id,
        SubjectRef(parent.type_id, parent.id) if parent else None,
        body.text,
        body.duration_s,
    )

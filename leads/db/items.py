"""What the log holds about subjects, as fast as the database gives it: every score of a known item begins here."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path

import msgspec
from sqlalchemy.engine import Engine

from leads.db import event_log
from leads.db.engine import reading
from leads.errors import Unavailable
from leads.events import ItemCreated, Subject, SubjectRef

# The second condition on the kind lets SQLite use the index that leaves plays out.
_SELECT = (
    'SELECT "offset", raw FROM events '
    "WHERE type_id = ? AND kind = 'item_created' AND kind <> 'played' AND subject_id IN ({})"
)
_AT_ONCE = 1_000
_TIMEOUT_S = 2.0


class _Ref(msgspec.Struct):
    type_id: str
    id: str


class _Body(msgspec.Struct, tag="item_created"):
    subject: _Ref
    account_id: str | None = None
    parent: _Ref | None = None
    text: str = ""
    duration_s: float | None = None


class _Stored(msgspec.Struct):
    """An event as it was checked when it came in; checking its ids again would take as long as all the rest."""

    body: _Body


_decode = msgspec.json.Decoder(_Stored).decode


class StoredItems:
    """Thread-safe. SQLite is read by its driver, on one read-only connection per thread; others through the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._local = threading.local()

    def of(self, subjects: Iterable[Subject]) -> dict[Subject, ItemCreated]:
        """What the subjects hold now; unknown ones are absent.

        Raises:
            Unavailable: the database doesn't answer.
        """
        if self._path is None:
            with reading(self._engine) as connection:
                return event_log.items(connection, subjects)
        try:
            return self._of(subjects)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self._local = threading.local()
            raise Unavailable(
                f"The database can't be read ({type(error).__name__}).",
                field="LEADS_HOME",
                remedy="Check the folder's rights and free space.",
            ) from error

    def _of(self, subjects: Iterable[Subject]) -> dict[Subject, ItemCreated]:
        by_type: dict[str, list[str]] = {}
        for type_id, id_ in subjects:
            by_type.setdefault(type_id, []).append(id_)
        found: dict[Subject, ItemCreated] = {}
        for type_id, ids in by_type.items():
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                query = _SELECT.format(", ".join("?" * len(some)))
                # Ordered here: asked to order by offset, SQLite walks the whole kind instead of looking up.
                for _, raw in sorted(self._connection().execute(query, (type_id, *some)), key=itemgetter(0)):
                    body = _decode(raw).body
                    found[Subject(type_id, body.subject.id)] = ItemCreated(
                        SubjectRef(type_id, body.subject.id),
                        body.account_id,
                        SubjectRef(body.parent.type_id, body.parent.id) if body.parent else None,
                        body.text,
                        body.duration_s,
                    )
        return found

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            assert self._path is not None
            address = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(address, uri=True, timeout=_TIMEOUT_S, isolation_level=None)
            self._local.connection = connection
        return connection

"""What subjects hold now, for scoring: read without SQLAlchemy, and kept in memory while it is current."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from sqlalchemy.engine import Engine

from leads.content import judged_text
from leads.db.content.held import HeldEvent, asked_held, asked_offsets, held_now, held_offsets, read_held, read_offsets
from leads.db.content.kept import Asked, KeptConnections
from leads.db.content.recent import Recent
from leads.db.content.versions import item_of, newest_of
from leads.db.subject_events import Execute
from leads.errors import Unavailable
from leads.events import ItemCreated, Subject

V = TypeVar("V")
_TIMEOUT_S = 2.0
# A generation of items takes at most about 8 MB: so many characters of text, and an item without any counts as some.
_RECENT_CHARS, _ITEM_CHARS = 8_000_000, 800


class StoredItems(Generic[V]):
    """`leads.db.items.current_items` for scoring: gives what is made of each item. Thread-safe.

    Connections stay open: with SQLite, a read-only one of the driver for each thread; otherwise, some of the engine's.
    What was used last stays in memory: for that, the database is only asked which version a subject holds now.

    Args:
        make: what to make of an item; called once for each version while that stays in memory.
    """

    def __init__(self, engine: Engine, make: Callable[[ItemCreated], V]) -> None:
        self._make = make
        self._path = engine.url.database if engine.dialect.name == "sqlite" else None
        self._local = threading.local()
        self._kept = KeptConnections(engine) if self._path is None else None
        self._recent: Recent[Subject, tuple[int, int, V]] = Recent(_RECENT_CHARS, itemgetter(1))

    @property
    def prompt(self) -> bool:
        """Whether the database answers so soon that an event loop can wait for what is in memory."""
        return self._kept is None or self._kept.prompt

    def ask(self, subjects: Iterable[Subject]) -> AskedItems[V] | None:
        """Ask whether what is in memory of the subjects is current, and do other work until the answer is there.

        Returns None if not all of them are in memory, or if the database isn't a server that has answered promptly.
        """
        if self._kept is None or not self._kept.prompt:
            return None
        asked = list(dict.fromkeys(subjects))
        recent = [one for one in self._recent.get_many(asked) if one is not None]
        if not asked or len(recent) < len(asked):
            return None
        statement = self._kept.ask(*asked_offsets(asked))
        if statement is None:
            return None
        remembered = {subject: made for subject, (_, _, made) in zip(asked, recent, strict=True)}
        return AskedItems(statement, remembered, [offset for offset, _, _ in recent])

    def promptly(self, subjects: Iterable[Subject]) -> dict[Subject, V] | None:
        """As `of`, without waiting longer for a server than an event loop can; None if that isn't possible now."""
        if self._kept is None:
            return self.of(subjects)
        asked = list(dict.fromkeys(subjects))
        statement = self._kept.ask(*asked_held(asked)) if asked else None
        rows = statement.rows() if statement is not None else None
        return None if rows is None else self._remember(read_held(rows))

    def of(self, subjects: Iterable[Subject]) -> dict[Subject, V]:
        """What is made of what the subjects hold now; unknown subjects are absent.

        Raises:
            Unavailable: the database can't be read.
        """
        asked = list(dict.fromkeys(subjects))
        if self._kept is not None:
            return self._kept.read(
                lambda connection: self._of(connection.exec_driver_sql, connection.dialect.name, asked)
            )
        try:
            return self._of(self._connection().execute, "sqlite", asked)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self._local = threading.local()
            raise Unavailable(
                f"Can't read the database ({type(error).__name__}).",
                field="LEADS_HOME",
                remedy="Check the folder's permissions and free space.",
            ) from error

    def _of(self, execute: Execute, dialect: str, subjects: Sequence[Subject]) -> dict[Subject, V]:
        known = zip(subjects, self._recent.get_many(subjects), strict=True)
        recent = {subject: one for subject, one in known if one is not None}
        found: dict[Subject, V] = {}
        if recent:
            offsets = held_offsets(execute, dialect, list(recent))
            for (subject, (last, _, made)), offset in zip(recent.items(), offsets, strict=True):
                if last == offset:
                    found[subject] = made
        if len(found) < len(subjects):
            found |= self._remember(held_now(execute, dialect, [one for one in subjects if one not in found]))
        return found

    def _remember(self, held: Iterable[HeldEvent]) -> dict[Subject, V]:
        """What is made of what subjects hold, kept in memory."""
        found: dict[Subject, V] = {}
        for (_, subject), (offset, _, stored) in newest_of(held).items():
            made = found[subject] = self._make(item_of(stored.body))
            self._recent.put(subject, (offset, _ITEM_CHARS + len(judged_text(stored.body)), made))
        return found

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            assert self._path is not None
            address = f"{Path(self._path).absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(address, uri=True, timeout=_TIMEOUT_S, isolation_level=None)
            self._local.connection = connection
        return connection


class AskedItems(Generic[V]):
    """What is in memory of the subjects, while the database is asked whether it is current. A context manager.

    Args:
        remembered: what was made of what each subject held.
        offsets: of the events with that, in the same order.
    """

    def __init__(self, statement: Asked, remembered: dict[Subject, V], offsets: Sequence[int]) -> None:
        self.remembered = remembered
        self._statement = statement
        self._offsets = offsets

    def confirmed(self) -> bool:
        """Whether all of it is current; False also if the database doesn't answer promptly. To be asked once."""
        rows = self._statement.rows()
        return rows is not None and read_offsets(rows, len(self._offsets)) == self._offsets

    def __enter__(self) -> AskedItems[V]:
        return self

    def __exit__(self, *_error: object) -> None:
        self._statement.finish()

"""What a subject holds: the bodies of its `item_created` events, of which the one that occurred last holds now.

`current_items` reads through a SQLAlchemy connection; `StoredItems` is its fast path for scoring. Both use the same
query and the same decoding. Only `contents` reads every version: an item may have any number of them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.content import Content, judged_text, ref_of
from leads.db.content.held import HeldEvent, asked_offsets, held_before, held_now, held_offsets, read_offsets
from leads.db.content.kept import Asked, KeptConnections
from leads.db.content.recent import Recent
from leads.db.subject_events import Execute, raw_events_on
from leads.db.tables import events
from leads.errors import Unavailable
from leads.events import (
    JUDGED_BEFORE,
    ContentRef,
    FieldValue,
    ItemCreated,
    LoggedEvent,
    Subject,
    SubjectRef,
    decision_of,
)
from leads.rules import happened_at

_KIND = "item_created"
_TIMEOUT_S = 2.0
_PER_QUERY = 1_000


class _Ref(msgspec.Struct):
    type_id: str
    id: str


class _Body(msgspec.Struct, tag=_KIND):
    subject: _Ref
    account_id: str | None = None
    parent: _Ref | None = None
    text: str = ""
    duration_s: float | None = None
    fields: dict[str, FieldValue] = {}
    judged: tuple[str, ...] = JUDGED_BEFORE


class _Stored(msgspec.Struct):
    """A stored event without constraints: it was validated when it was appended, and validating is half of the cost."""

    occurred_at: int
    body: _Body


V = TypeVar("V")
# A generation of items takes at most about 8 MB: so many characters of text, and an item without any counts as some.
_RECENT_CHARS, _ITEM_CHARS = 8_000_000, 800

# Versions of a subject that `contents_at` looks at.
_MOST_BACK = 8
# Offset, visible_at, event.
_Version = tuple[int, Micros, _Stored]
_decode = msgspec.json.Decoder(_Stored).decode


def current_items(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, ItemCreated]:
    """What the subjects hold now; unknown subjects are absent."""
    return _items(held_now(connection.exec_driver_sql, connection.dialect.name, subjects))


class StoredItems(Generic[V]):
    """`current_items` for scoring: gives what is made of each item. Thread-safe.

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

    @property
    def is_file(self) -> bool:
        """Whether the database is a file, which is read without waiting for a server."""
        return self._kept is None

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
            others = held_now(execute, dialect, [subject for subject in subjects if subject not in found])
            for (_, subject), (offset, _, stored) in _newest(others).items():
                made = found[subject] = self._make(_item(stored.body))
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


def current_contents(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, Content]:
    """The version that the subjects hold now; unknown subjects are absent."""
    found = _newest(held_now(connection.exec_driver_sql, connection.dialect.name, subjects))
    return {subject: _content(*version) for (_, subject), version in found.items()}


def contents_at(
    connection: Connection, asked: Iterable[tuple[Subject, Micros]], held: Mapping[Subject, Content]
) -> dict[tuple[Subject, Micros], Content]:
    """The version that each subject held at an instant. Absent: none was visible yet, or it was edited too often since.

    Args:
        held: what the subjects hold now. Only what became visible after the instant costs a look-up.
    """
    found: dict[tuple[Subject, Micros], Content] = {}
    left = {(subject, at): held[subject] for subject, at in asked if subject in held}
    for _ in range(_MOST_BACK):
        found |= {key: version for key, version in left.items() if version.visible_at <= key[1]}
        left = {key: version for key, version in left.items() if key not in found}
        if not left:
            break
        before = [(subject, version.offset, version.visible_at) for (subject, _), version in left.items()]
        earlier = _newest(held_before(connection.exec_driver_sql, connection.dialect.name, before))
        places = {key: (version.offset, key[0]) for key, version in left.items()}
        left = {key: _content(*earlier[place]) for key, place in places.items() if place in earlier}
    return found


def contents(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, list[Content]]:
    """Every version of the subjects' content, in the order of the log; unknown subjects are absent.

    For reports and checks that run in the background: the cost grows with the number of edits.
    """
    found: dict[Subject, list[Content]] = {}
    for offset, visible_at, raw in raw_events_on(connection, subjects, _KIND):
        version = _content(offset, visible_at, _decode(raw))
        found.setdefault(version.item.subject.subject, []).append(version)
    return found


def named_contents(
    connection: Connection, named: Iterable[tuple[Subject, ContentRef]]
) -> dict[tuple[Subject, ContentRef], Content]:
    """The versions with these names. A name is absent unless one version of the subject has its offset and its hash.

    A decision may come with a name that its sender made up, so the offset alone proves nothing.
    """
    wanted = set(named)
    offsets = sorted({ref.offset for _, ref in wanted if ref.offset})
    found = {}
    for start in range(0, len(offsets), _PER_QUERY):
        query = sa.select(events.c.offset, events.c.visible_at, events.c.raw).where(
            events.c.offset.in_(offsets[start : start + _PER_QUERY]), events.c.kind == _KIND
        )
        for row in connection.execute(query):
            content = _content(row.offset, row.visible_at, _decode(row.raw))
            name = content.item.subject.subject, content.ref
            if name in wanted:
                found[name] = content
    return found


def judged_contents(connection: Connection, decisions: Iterable[LoggedEvent]) -> dict[int, ContentRef]:
    """The version that each decision is about, by the decision's offset.

    It is the one that the decision names; for older decisions, the one that the subject held at the time.
    """
    found, unnamed = {}, []
    for logged in decisions:
        body = decision_of(logged)
        found[logged.offset] = body.content or ref_of(None)
        if body.content is None:
            unnamed.append((body.subject.subject, logged.offset, logged.visible_at))
    held = _newest(held_before(connection.exec_driver_sql, connection.dialect.name, unnamed))
    return found | {offset: _content(*version).ref for (offset, _), version in held.items()}


def _items(found: Iterable[HeldEvent]) -> dict[Subject, ItemCreated]:
    return {subject: _item(stored.body) for (_, subject), (_, _, stored) in _newest(found).items()}


def _newest(found: Iterable[HeldEvent]) -> dict[tuple[int, Subject], _Version]:
    """What each subject holds; the rule of `leads.content.newest`, without building more than one version of each."""
    best: dict[tuple[int, Subject], _Version] = {}
    for before, offset, visible_at, raw in found:
        stored = _decode(raw)
        ref = stored.body.subject
        key = before, Subject(ref.type_id, ref.id)
        if key not in best or _order(best[key]) < _order((offset, visible_at, stored)):
            best[key] = offset, visible_at, stored
    return best


def _order(version: _Version) -> tuple[Micros, int]:
    offset, visible_at, stored = version
    return happened_at(stored.occurred_at, visible_at), offset


def _content(offset: int, visible_at: Micros, stored: _Stored) -> Content:
    return Content.of(offset, stored.occurred_at, visible_at, _item(stored.body))


def _item(body: _Body) -> ItemCreated:
    subject, parent = body.subject, body.parent
    return ItemCreated(
        SubjectRef(subject.type_id, subject.id),
        body.account_id,
        SubjectRef(parent.type_id, parent.id) if parent else None,
        body.text,
        body.duration_s,
        body.fields,
        body.judged,
    )

"""What a subject holds: the bodies of its `item_created` events, of which the one that occurred last holds now.

These read through a SQLAlchemy connection; `leads.db.content.stored_items` is the fast path for scoring. Both use the
same query and the same decoding. Only `contents` reads every version: an item may have any number of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.clock import Micros
from leads.content import Content, ref_of
from leads.db.content.held import HeldEvent, held_before, held_now
from leads.db.content.versions import KIND, StoredEvent, decode, item_of, newest_of
from leads.db.subject_events import raw_events_on
from leads.db.tables import events
from leads.events import ContentRef, ItemCreated, LoggedEvent, Subject, decision_of

_PER_QUERY = 1_000
# Versions of a subject that `contents_at` looks at.
_MOST_BACK = 8


def current_items(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, ItemCreated]:
    """What the subjects hold now; unknown subjects are absent."""
    return _items(held_now(connection.exec_driver_sql, connection.dialect.name, subjects))


def current_contents(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, Content]:
    """The version that the subjects hold now; unknown subjects are absent."""
    found = newest_of(held_now(connection.exec_driver_sql, connection.dialect.name, subjects))
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
        earlier = newest_of(held_before(connection.exec_driver_sql, connection.dialect.name, before))
        places = {key: (version.offset, key[0]) for key, version in left.items()}
        left = {key: _content(*earlier[place]) for key, place in places.items() if place in earlier}
    return found


def contents(connection: Connection, subjects: Iterable[Subject]) -> dict[Subject, list[Content]]:
    """Every version of the subjects' content, in the order of the log; unknown subjects are absent.

    For reports and checks that run in the background: the cost grows with the number of edits.
    """
    found: dict[Subject, list[Content]] = {}
    for offset, visible_at, raw in raw_events_on(connection, subjects, KIND):
        version = _content(offset, visible_at, decode(raw))
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
            events.c.offset.in_(offsets[start : start + _PER_QUERY]), events.c.kind == KIND
        )
        for row in connection.execute(query):
            content = _content(row.offset, row.visible_at, decode(row.raw))
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
    held = newest_of(held_before(connection.exec_driver_sql, connection.dialect.name, unnamed))
    return found | {offset: _content(*version).ref for (offset, _), version in held.items()}


def _items(found: Iterable[HeldEvent]) -> dict[Subject, ItemCreated]:
    return {subject: item_of(stored.body) for (_, subject), (_, _, stored) in newest_of(found).items()}


def _content(offset: int, visible_at: Micros, stored: StoredEvent) -> Content:
    return Content.of(offset, stored.occurred_at, visible_at, item_of(stored.body))

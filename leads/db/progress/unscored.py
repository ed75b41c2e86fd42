"""Which parts of the event log no worker has scored for a harm, because the harm had no champion at that time.

A worker scores the subjects that new events touch. Subjects that were only touched while a harm had no champion are
never scored for it, unless somebody asks for it. Each such part is kept among the readers' positions:
`unscored:spam:0` = 1200 says that the events after offset 0, up to 1200, were processed without a champion of spam.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from leads.db.engine import insert_new
from leads.db.tables import cursors

_PREFIX = "unscored:"


class Part(NamedTuple):
    """The events with after < offset ≤ up_to."""

    after: int
    up_to: int


def parts(connection: Connection) -> Mapping[str, list[Part]]:
    """The unscored parts by harm, in order and without overlap; a harm that has none is absent."""
    found: dict[str, list[Part]] = {}
    for harm, part in sorted(_stored(connection)):
        if part.after >= part.up_to:
            continue
        merged = found.setdefault(harm, [])
        if merged and part.after <= merged[-1].up_to:
            part = Part(merged[-1].after, max(merged.pop().up_to, part.up_to))
        merged.append(part)
    return found


def known(connection: Connection) -> set[str]:
    """The harms for which it is recorded what was not scored."""
    return {harm for harm, _ in _stored(connection)}


def begin(connection: Connection, harms: Collection[str], up_to: int) -> None:
    """Record harms that are new: nothing up to this offset was scored for them, as far as is known."""
    insert_new(connection, cursors, [{"name": _name(harm, 0), "offset": up_to} for harm in harms])


def extend(connection: Connection, harms: Collection[str], part: Part) -> None:
    """Record that a part was processed while these harms had no champion."""
    joined: dict[str, int] = {}
    for harm, stored in _stored(connection):
        if harm in harms and stored.after <= part.after <= stored.up_to:
            joined[harm] = stored.after
    names = [_name(harm, joined.get(harm, part.after)) for harm in harms]
    insert_new(connection, cursors, [{"name": name, "offset": part.up_to} for name in names])
    _update(connection, dict.fromkeys(names, part.up_to), later=True)


def shorten(connection: Connection, harm: str, up_to: int) -> None:
    """Record that everything after this offset has been scored for the harm."""
    rows = {_name(harm, part.after): max(up_to, part.after) for name, part in _stored(connection) if name == harm}
    _update(connection, rows, later=False)


def _update(connection: Connection, offsets: Mapping[str, int], *, later: bool) -> None:
    """Move ends to a later offset, or to an earlier one."""
    name, offset = sa.bindparam("of", type_=sa.Text), sa.bindparam("to", type_=sa.BigInteger)
    moves = cursors.c.offset < offset if later else cursors.c.offset > offset
    if offsets:
        statement = sa.update(cursors).where(cursors.c.name == name, moves).values(offset=offset)
        connection.execute(statement, [{"of": of, "to": to} for of, to in offsets.items()])


def _stored(connection: Connection) -> Iterator[tuple[str, Part]]:
    query = sa.select(cursors.c.name, cursors.c.offset).where(cursors.c.name.startswith(_PREFIX, autoescape=True))
    for name, offset in connection.execute(query):
        harm, _, after = name.removeprefix(_PREFIX).partition(":")
        yield harm, Part(int(after), offset)


def _name(harm: str, after: int) -> str:
    return f"{_PREFIX}{harm}:{after}"

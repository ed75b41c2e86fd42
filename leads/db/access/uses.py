"""When keys were used, and each use of the scope `admin`: who made which request, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from leads.clock import Micros
from leads.db.engine import reading
from leads.db.tables import api_keys, metadata

admin_uses = sa.Table(
    "admin_uses",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Index("ix_admin_uses_key", "key_id", "seq"),
    sa.Index("ix_admin_uses_at", "at"),
)


class AdminUse(NamedTuple):
    """A request that was allowed only because its key has the scope `admin`. It holds no input.

    Args:
        key_id, name: the key.
        route: the template of the route, such as `/v1/leads/{lead_id}`.
        scopes: those that the request needed, and that the key has only through `admin`.
        status: of the response; 499 if nobody received one.
    """

    at: Micros
    key_id: str
    name: str
    method: str
    route: str
    scopes: tuple[str, ...]
    status: int
    request_id: str


def note_used(connection: Connection, used: Mapping[str, Micros]) -> None:
    """Record when keys were last used. A time before the recorded one, from another process, changes nothing."""
    for id_, at in sorted(used.items()):
        newer = sa.or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < at)
        connection.execute(sa.update(api_keys).where(api_keys.c.id == id_, newer).values(last_used_at=at))


def record_admin(connection: Connection, uses: Sequence[AdminUse]) -> None:
    """Add uses of `admin` to the audit trail."""
    if uses:
        connection.execute(sa.insert(admin_uses), [{**use._asdict(), "scopes": list(use.scopes)} for use in uses])


def read_admin(engine: Engine, *, key_ids: Sequence[str] | None = None, limit: int = 100) -> list[AdminUse]:
    """The newest uses of `admin`, newest first.

    Args:
        key_ids: only those with these keys.
    """
    columns = [admin_uses.c[name] for name in AdminUse._fields]
    query = sa.select(*columns).order_by(admin_uses.c.seq.desc()).limit(limit)
    if key_ids is not None:
        query = query.where(admin_uses.c.key_id.in_(key_ids))
    with reading(engine) as connection:
        return [AdminUse(*row)._replace(scopes=tuple(row.scopes)) for row in connection.execute(query)]

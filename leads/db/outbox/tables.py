"""The outbox: messages to other systems, written in the transaction of their cause and delivered afterwards."""

from __future__ import annotations

import sqlalchemy as sa

from leads.db.tables import metadata, partial_index, sequence_number

outbox = sa.Table(
    "outbox",
    metadata,
    sequence_number(),
    # What the message is about; `leads.outbox` sends each topic to its receiver.
    sa.Column("topic", sa.Text, nullable=False),
    # Messages with the same key are delivered in order.
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    # When it is tried next, and how often it was.
    sa.Column("next_at", sa.BigInteger, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    # When it was delivered or given up; NULL while it waits.
    sa.Column("done_at", sa.BigInteger, nullable=True),
    # Why the last try failed.
    sa.Column("error", sa.Text, nullable=True),
    sa.Index("ix_outbox_waiting", "next_at", **partial_index("done_at IS NULL")),
    sa.Index("ix_outbox_done", "done_at"),
)

"""The tables of the folds' state, for LEADS_STATE_STORE=postgresql: see `features.state.postgresql`."""

from __future__ import annotations

import sqlalchemy as sa

from leads.db.tables import metadata

fold_states = sa.Table(
    "fold_states",
    metadata,
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("home", sa.Text, nullable=False),
    sa.Column("format", sa.Integer, nullable=False),
)
fold_values = sa.Table(
    "fold_values",
    metadata,
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("view", sa.Text, primary_key=True),
    # UTF-8.
    sa.Column("key", sa.LargeBinary, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

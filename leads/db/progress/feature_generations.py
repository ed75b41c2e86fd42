"""Tables of the generations of features, of how far each is built, and of what declared fields hold.

See `features.declared.generations` and `features.declared.field_kinds`.
"""

from __future__ import annotations

import sqlalchemy as sa

from leads.db.tables import metadata

# `number` 2, the built-in features alone, has no row until it gets views of the user's own or is retired.
feature_generations = sa.Table(
    "feature_generations",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    # JSON of what platform.yaml declared, and of the user's own views.
    sa.Column("declared", sa.Text, nullable=False),
    # building, ready, live or retired.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("live_at", sa.BigInteger, nullable=True),
    sa.Column("retired_at", sa.BigInteger, nullable=True),
    # When the first event of the log that it was built from became visible.
    sa.Column("since", sa.BigInteger, nullable=True),
)

# How far each partition's rows of a generation are.
feature_backfills = sa.Table(
    "feature_backfills",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("target", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
)

# What each field of platform.yaml holds, since events with it were stored or features were applied. Rows never change:
# stored events keep the values that they have.
declared_fields = sa.Table(
    "declared_fields",
    metadata,
    # `types.episode.genre`, `events.payout.amount`.
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
)

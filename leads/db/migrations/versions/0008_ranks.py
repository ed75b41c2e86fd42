"""Stored ranks of leads, counts by harm and state, and the harm of a review"""

import math

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BATCH = 2_000
# The default of `queue.aging_hours`. Where policies.yaml says otherwise, the worker ranks the leads again.
_AGING_HOURS = 24.0
_TAU = _AGING_HOURS * 3_600_000_000 / math.log(2)
_LEAST = 1e-12
_LEADS = sa.table(
    "leads",
    *(sa.column(name) for name in ("id", "base_priority", "created_at", "scored_at", "rank", "ranked_for")),
)


def upgrade() -> None:
    with op.batch_alter_table("leads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("rank", sa.Float(), nullable=True))
        batch_op.add_column(sa.Column("ranked_for", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.add_column(sa.Column("harm", sa.Text(), nullable=True))
    op.create_table(
        "rank_basis",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("aging_hours", sa.Float(), nullable=False),
        sa.Column("shift", sa.Float(), nullable=False),
        sa.Column("ranked_to", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "lead_counts",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slot", "harm", "state"),
    )
    op.execute(f"INSERT INTO rank_basis (id, aging_hours, shift, ranked_to) VALUES (1, {_AGING_HOURS}, 0, NULL)")
    op.execute(
        "INSERT INTO lead_counts (slot, harm, state, n) SELECT 0, harm, state, count(*) FROM leads GROUP BY harm, state"
    )
    op.execute("UPDATE reviews SET harm = (SELECT leads.harm FROM leads WHERE leads.id = reviews.lead_id)")
    _rank_leads()
    _create_indexes()


def _rank_leads() -> None:
    """In Python: most builds of SQLite have no logarithm."""
    connection, last = op.get_bind(), ""
    ranked = (
        sa.update(_LEADS)
        .where(_LEADS.c.id == sa.bindparam("lead_id"))
        .values(rank=sa.bindparam("new_rank"), ranked_for=sa.bindparam("new_ranked_for"))
    )
    query = sa.select(*(_LEADS.c[name] for name in ("id", "base_priority", "created_at", "scored_at")))
    while True:
        rows = connection.execute(query.where(_LEADS.c.id > last).order_by(_LEADS.c.id).limit(_BATCH)).all()
        if not rows:
            return
        values = [
            {
                "lead_id": row.id,
                "new_rank": math.log(max(row.base_priority, _LEAST)) - row.created_at / _TAU,
                "new_ranked_for": row.scored_at,
            }
            for row in rows
        ]
        connection.execute(ranked, values)
        last = rows[-1].id


def _create_indexes() -> None:
    def partial(name: str, table: str, columns: list[str], where: str) -> None:
        condition = sa.text(where)
        op.create_index(name, table, columns, postgresql_where=condition, sqlite_where=condition)

    op.create_index("ix_leads_rank", "leads", ["harm", "state", "rank", "id"])
    op.create_index("ix_leads_type_rank", "leads", ["harm", "state", "type_id", "rank", "id"])
    partial("ix_leads_oldest", "leads", ["harm", "created_at"], "state = 'open'")
    partial("ix_leads_lease", "leads", ["state", "lease_until", "id"], "state = 'claimed'")
    partial("ix_leads_stale_rank", "leads", ["ranked_for", "id"], "coalesce(ranked_for, -1) <> scored_at")
    op.create_index("ix_reviews_ended", "reviews", ["ended_at", "harm", "reviewer", "state", "lead_id"])
    partial("ix_reviews_held", "reviews", ["state", "reviewer", "lease_until", "harm", "lead_id"], "state = 'claimed'")


def downgrade() -> None:
    for name in ("ix_reviews_held", "ix_reviews_ended"):
        op.drop_index(name, "reviews")
    for name in ("ix_leads_stale_rank", "ix_leads_lease", "ix_leads_oldest", "ix_leads_type_rank", "ix_leads_rank"):
        op.drop_index(name, "leads")
    op.drop_table("lead_counts")
    op.drop_table("rank_basis")
    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.drop_column("harm")
    with op.batch_alter_table("leads", schema=None) as batch_op:
        batch_op.drop_column("ranked_for")
        batch_op.drop_column("rank")

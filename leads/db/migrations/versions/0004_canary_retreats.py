"""Which canaries retreated, and why"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "canary_retreats",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    with op.batch_alter_table("canary_retreats", schema=None) as batch_op:
        batch_op.create_index("ix_canary_retreats_harm", ["harm", "version", "seq"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("canary_retreats", schema=None) as batch_op:
        batch_op.drop_index("ix_canary_retreats_harm")

    op.drop_table("canary_retreats")

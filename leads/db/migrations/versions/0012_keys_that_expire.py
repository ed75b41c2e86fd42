"""Keys expire and are rotated, and uses of the scope admin are recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, sa.BigInteger | sa.Text] = {
    "expires_at": sa.BigInteger(),
    "last_used_at": sa.BigInteger(),
    "family": sa.Text(),
    "replaced_by": sa.Text(),
}


def upgrade() -> None:
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        for name, type_ in _COLUMNS.items():
            batch_op.add_column(sa.Column(name, type_, nullable=True))
    op.create_table(
        "admin_uses",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_admin_uses_key", "admin_uses", ["key_id", "seq"])
    op.create_index("ix_admin_uses_at", "admin_uses", ["at"])


def downgrade() -> None:
    op.drop_table("admin_uses")
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        for name in _COLUMNS:
            batch_op.drop_column(name)

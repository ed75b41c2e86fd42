"""Event ids belong to their sender, and keys have a sender and a reviewer"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NAMES = {"uq": "uq_%(table_name)s_%(column_0_N_name)s"}


def upgrade() -> None:
    with op.batch_alter_table("events", schema=None, naming_convention=_NAMES) as batch_op:
        batch_op.add_column(sa.Column("sender", sa.Text(), nullable=False, server_default="legacy"))
        batch_op.add_column(sa.Column("body_hash", sa.LargeBinary(), nullable=True))
        # PostgreSQL named the constraint itself.
        postgresql = op.get_context().dialect.name == "postgresql"
        batch_op.drop_constraint("events_id_key" if postgresql else "uq_events_id", type_="unique")
        batch_op.create_unique_constraint("uq_events_sender_id", ["sender", "id"])
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sender", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("reviewer", sa.Text(), nullable=True))
    _let_old_keys_act_as_anyone()


def _let_old_keys_act_as_anyone() -> None:
    """Until now, a key that could decide could name any reviewer: review tools keep working."""
    keys = sa.table("api_keys", sa.column("id", sa.Text()), sa.column("scopes", sa.JSON()))
    connection = op.get_bind()
    for id_, scopes in connection.execute(sa.select(keys.c.id, keys.c.scopes)).all():
        if "leads:decide" in scopes:
            changed = sa.update(keys).where(keys.c.id == id_).values(scopes=sorted({*scopes, "act_as"}))
            connection.execute(changed)


def downgrade() -> None:
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.drop_column("reviewer")
        batch_op.drop_column("sender")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_constraint("uq_events_sender_id", type_="unique")
        batch_op.create_unique_constraint("events_id_key", ["id"])
        batch_op.drop_column("body_hash")
        batch_op.drop_column("sender")

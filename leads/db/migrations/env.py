"""Alembic's environment: it runs on the connection that `leads.db.engine` hands over."""

from alembic import context

from leads.db.monitoring import tables as monitoring_tables  # noqa: F401
from leads.db.outbox import tables as outbox_tables  # noqa: F401
from leads.db.progress import feature_generations, fold_tables  # noqa: F401
from leads.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

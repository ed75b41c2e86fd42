"""The relational tables, for SQLite and PostgreSQL alike. Times are µs since epoch."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s"})

# The sender of events from before senders were kept.
LEGACY_SENDER = "legacy"
# The condition of the partial indices. SQLite uses them only if the query repeats it literally.
NOT_A_PLAY = sa.text("kind <> 'played'")


def partial_index(condition: str) -> Any:
    """Options of an index that holds only the rows for which the condition is true."""
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


# Plays are most of the log and are never looked up one by one.
_WITHOUT_PLAYS = partial_index("kind <> 'played'")
# Leads whose rank is missing, or was computed for another score. Queries must repeat this condition word for word, and
# the order of the index: PostgreSQL takes the condition to be true of nearly all leads, and would read them all.
STALE_RANK = "coalesce(ranked_for, -1) <> scored_at"


def sequence_number() -> sa.Column[int]:
    """A number that the database gives, higher for every later row."""
    return sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True)


events = sa.Table(
    "events",
    metadata,
    sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
    # Ids are the sender's own: two senders may use the same one.
    sa.Column("sender", sa.Text, nullable=False, server_default=LEGACY_SENDER),
    sa.Column("id", sa.Text, nullable=False),
    # Hash of what the sender sent; absent for events from before senders were kept.
    sa.Column("body_hash", sa.LargeBinary, nullable=True),
    sa.Column("visible_at", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("type_id", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("sender", "id", name="uq_events_sender_id"),
    sa.Index("ix_events_subject", "type_id", "subject_id", "kind", "offset", **_WITHOUT_PLAYS),
    sa.Index("ix_events_kind_offset", "kind", "offset", **_WITHOUT_PLAYS),
)

# The order of each item's versions: the newest by (`at`, `offset`) holds. `at` is `leads.rules.happened_at` of the
# event. Complete up to `log_head.item_versions_to`; see `leads.db.content.upkeep`.
item_versions = sa.Table(
    "item_versions",
    metadata,
    sa.Column("type_id", sa.Text, primary_key=True),
    sa.Column("subject_id", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True),
    sa.Column("offset", sa.BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

# One row. Whoever updates it holds it until commit, so offsets become visible in their own order.
log_head = sa.Table(
    "log_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("visible_at", sa.BigInteger, nullable=False),
    # The offset up to which `item_versions` has every version.
    sa.Column("item_versions_to", sa.BigInteger, nullable=False, server_default="0"),
)

# How far a named reader of the event log has come.
cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("offset", sa.BigInteger, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("secret_hash", sa.LargeBinary, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("harms", sa.JSON, nullable=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=True),
    # `leads.db.keys.ApiKey` explains them.
    sa.Column("rate", sa.Float, nullable=True),
    sa.Column("sender", sa.Text, nullable=True),
    sa.Column("reviewer", sa.Text, nullable=True),
    sa.Column("expires_at", sa.BigInteger, nullable=True),
    sa.Column("last_used_at", sa.BigInteger, nullable=True),
    sa.Column("family", sa.Text, nullable=True),
    sa.Column("replaced_by", sa.Text, nullable=True),
)

leads = sa.Table(
    "leads",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("type_id", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    # open → claimed → decided or escalated; back to open when released or the lease runs out; withdrawn by a low score.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("model_version", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    # score × severity × expected exposure, before aging.
    sa.Column("base_priority", sa.Float, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("scored_at", sa.BigInteger, nullable=False),
    sa.Column("claimed_by", sa.Text, nullable=True),
    sa.Column("lease_until", sa.BigInteger, nullable=True),
    sa.Column("decided_at", sa.BigInteger, nullable=True),
    sa.Column("verdict", sa.Text, nullable=True),
    # The newest decision known when reports opened the lead again: it and older ones don't settle it any longer.
    sa.Column("reopened_after", sa.BigInteger, nullable=True),
    # Position in the queue, higher first: see `serving.queue.ranks`. NULL until the worker ranks the lead.
    sa.Column("rank", sa.Float, nullable=True),
    # The `scored_at` of the score that the rank is about.
    sa.Column("ranked_for", sa.BigInteger, nullable=True),
    sa.UniqueConstraint("type_id", "subject_id", "harm", name="uq_leads_subject_harm"),
    sa.Index("ix_leads_state_harm", "state", "harm"),
    # Each holds everything that the order needs, so that a page reads as many entries as it shows. A partial index
    # begins with the state too where SQLite would otherwise prefer an index on the state alone.
    sa.Index("ix_leads_rank", "harm", "state", "rank", "id"),
    sa.Index("ix_leads_type_rank", "harm", "state", "type_id", "rank", "id"),
    sa.Index("ix_leads_oldest", "harm", "created_at", **partial_index("state = 'open'")),
    sa.Index("ix_leads_lease", "state", "lease_until", "id", **partial_index("state = 'claimed'")),
    sa.Index("ix_leads_stale_rank", "ranked_for", "id", **partial_index(STALE_RANK)),
)

# How ranks are computed: one row. `serving.queue.ranks` explains the columns.
rank_basis = sa.Table(
    "rank_basis",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("aging_hours", sa.Float, nullable=False),
    sa.Column("shift", sa.Float, nullable=False),
    # Leads up to this id are ranked on this basis; NULL: all are.
    sa.Column("ranked_to", sa.Text, nullable=True),
)

# How many leads there are by harm and state: the sum over all slots. A transaction changes the rows of one slot.
lead_counts = sa.Table(
    "lead_counts",
    metadata,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("harm", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
)

# Looks at leads: what a reviewer was shown, and what came of it. A lead has at most one in the state `claimed`.
reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("lead_id", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    # The content version that was shown: offset and hash, as in `leads.events.ContentRef`.
    sa.Column("content_offset", sa.BigInteger, nullable=False),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("prediction_id", sa.Text, nullable=True),
    # When the subject had last been scored.
    sa.Column("scored_at", sa.BigInteger, nullable=True),
    # The lead's priority when it was shown.
    sa.Column("rank", sa.Float, nullable=True),
    # claimed → decided, escalated, released or expired.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("lease_until", sa.BigInteger, nullable=True),
    # Counts the looks at a lead from 1, so that a holder whose lease has passed to somebody else is told apart.
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("verdict", sa.Text, nullable=True),
    sa.Column("ended_at", sa.BigInteger, nullable=True),
    # How the pair was chosen for review, as in `leads.events.Selection`; hidden from reviewers.
    sa.Column("selection", sa.JSON, nullable=True),
    # The lead's harm; NULL in rows that an older release wrote.
    sa.Column("harm", sa.Text, nullable=True),
    # The prediction that was shown; NULL in rows that an older release wrote.
    sa.Column("score", sa.Float, nullable=True),
    sa.Column("tier", sa.Text, nullable=True),
    sa.Column("model_version", sa.Text, nullable=True),
    sa.Index("ix_reviews_lead", "lead_id", "fence"),
    sa.Index("ix_reviews_reviewer", "reviewer", "state"),
    # What was done lately, and what is held now; each holds everything that statistics need.
    sa.Index("ix_reviews_ended", "ended_at", "harm", "reviewer", "state", "lead_id"),
    sa.Index(
        "ix_reviews_held", "state", "reviewer", "lease_until", "harm", "lead_id", **partial_index("state = 'claimed'")
    ),
)

audit = sa.Table(
    "audit",
    metadata,
    sequence_number(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("lead_id", sa.Text, nullable=True),
    sa.Column("type_id", sa.Text, nullable=False),
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    # The API key that the actor used; absent for the platform's own changes.
    sa.Column("key_id", sa.Text, nullable=True),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Index("ix_audit_lead", "lead_id", "seq"),
)

# Who moved which version where, and why. Rows are only added; `state` alone changes, from pending to done or dropped.
model_changes = sa.Table(
    "model_changes",
    metadata,
    sequence_number(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("alias", sa.Text, nullable=True),
    sa.Column("replaced", sa.Text, nullable=True),
    sa.Column("overridden", sa.Boolean, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    # The gate's report as JSON; absent where none was asked.
    sa.Column("gate", sa.Text, nullable=True),
    sa.Index("ix_model_changes_harm", "harm", "seq"),
)

# Answers already given, so that a request sent twice with one Idempotency-Key gets the same answer.
idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("idempotency_key", sa.Text, primary_key=True),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index("ix_idempotency_at", "at"),
)

# One row for each look at a version's drift.
drift_verdicts = sa.Table(
    "drift_verdicts",
    metadata,
    sequence_number(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("drifted", sa.Boolean, nullable=False),
    sa.Column("score_drifted", sa.Boolean, nullable=False),
    sa.Column("share", sa.Float, nullable=False),
    sa.Index("ix_drift_verdicts_harm", "harm", "version", "seq"),
)

# Canaries that must not answer any more, until someone lets them try again.
canary_retreats = sa.Table(
    "canary_retreats",
    metadata,
    sequence_number(),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    # When it was let try again; absent while the retreat stands.
    sa.Column("cleared_at", sa.BigInteger, nullable=True),
    sa.Index("ix_canary_retreats_harm", "harm", "version", "seq"),
)

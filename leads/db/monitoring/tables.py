"""Tables of what monitoring measures: hourly summaries, runs, measured values, alerts and silences."""

from __future__ import annotations

import sqlalchemy as sa

from leads.db.tables import metadata, partial_index, sequence_number

# What a host's prediction log holds of an hour. A row is replaced as a whole, so that writing it twice counts nothing
# twice; `monitoring.summaries` explains `summary`.
prediction_summaries = sa.Table(
    "prediction_summaries",
    metadata,
    # The id of the home whose log was read, not of the machine.
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("harm", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, primary_key=True),
    # `type=comment`, `language=de`, `<field>=<value>`; empty for all predictions.
    sa.Column("slice", sa.Text, primary_key=True),
    # The start of the hour.
    sa.Column("hour", sa.BigInteger, primary_key=True),
    sa.Column("predictions", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("summary", sa.LargeBinary, nullable=False),
    sa.Column("written_at", sa.BigInteger, nullable=False),
    sa.Index("ix_prediction_summaries_hour", "harm", "hour"),
    sqlite_with_rowid=False,
)

# One row for each run of the jobs.
monitor_runs = sa.Table(
    "monitor_runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger, nullable=True),
    # running, done or failed; a run that was killed stays `running` until the next one begins.
    sa.Column("state", sa.Text, nullable=False),
    # The end of the newest window that it measured.
    sa.Column("until", sa.BigInteger, nullable=True),
    # JSON list of lines for people: what was measured, left out or wrong.
    sa.Column("notes", sa.JSON, nullable=False),
    sa.Index("ix_monitor_runs_started", "started_at"),
)

# Every measured value that people, pages, the API or alerts read.
metric_rows = sa.Table(
    "metric_rows",
    metadata,
    # The harm; empty for the whole platform.
    sa.Column("harm", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    # `column=account.plays_24h`, `type=comment`, `kind=play;source=mobile`; empty for everything.
    sa.Column("slice", sa.Text, primary_key=True),
    # The model version; empty where none is concerned.
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("until", sa.BigInteger, primary_key=True),
    sa.Column("since", sa.BigInteger, primary_key=True),
    sa.Column("run", sa.Text, nullable=False),
    # The job that measured it, whose later measurements of the window replace it.
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("value", sa.Float, nullable=True),
    sa.Column("lo", sa.Float, nullable=True),
    sa.Column("hi", sa.Float, nullable=True),
    sa.Column("n", sa.BigInteger, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Index("ix_metric_rows_until", "until", "name"),
    # The newest windows of a metric; in the primary key, a window comes after its version.
    sa.Index("ix_metric_rows_newest", "harm", "name", "slice", "until"),
    sqlite_with_rowid=False,
)

# How far each job has measured, by harm, so that a run continues where the last one ended or was killed.
monitor_progress = sa.Table(
    "monitor_progress",
    metadata,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("harm", sa.Text, primary_key=True),
    sa.Column("until", sa.BigInteger, nullable=False),
    # Rises whenever summaries are written again that the job may have measured.
    sa.Column("changes", sa.BigInteger, nullable=False),
)

# What rules found. An alert that resolved and fires again is a new row.
alerts = sa.Table(
    "alerts",
    metadata,
    sequence_number(),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("slice", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    # page or digest.
    sa.Column("severity", sa.Text, nullable=False),
    # firing, acknowledged or resolved.
    sa.Column("state", sa.Text, nullable=False),
    # When the first window began in which the rule was broken, and when it was first and last found broken.
    sa.Column("since", sa.BigInteger, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("resolved_at", sa.BigInteger, nullable=True),
    # When a message about it was last written to the outbox, and how bad it was then; NULL while it is silenced.
    sa.Column("sent_at", sa.BigInteger, nullable=True),
    sa.Column("sent_worst", sa.Float, nullable=True),
    # The newest measured value, as in `metric_rows`, and the rule's limit.
    sa.Column("value", sa.Float, nullable=True),
    sa.Column("lo", sa.Float, nullable=True),
    sa.Column("hi", sa.Float, nullable=True),
    sa.Column("limit", sa.Float, nullable=False),
    # The highest deviation so far.
    sa.Column("worst", sa.Float, nullable=True),
    # JSON: what else happened, which leads are concerned, what to do, the result of a retraining.
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("acknowledged_by", sa.Text, nullable=True),
    sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
    sa.Column("note", sa.Text, nullable=True),
    # One alert at a time for a rule, harm and slice.
    sa.Index("uq_alerts_open", "rule", "harm", "slice", unique=True, **partial_index("state <> 'resolved'")),
    sa.Index("ix_alerts_opened", "opened_at"),
)

# Rules that send nothing for a while. Their alerts are still recorded.
alert_silences = sa.Table(
    "alert_silences",
    metadata,
    sequence_number(),
    # A rule's name, or * for all; a harm, or * for all.
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("harm", sa.Text, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger, nullable=True),
)

"""How long each kind of data is kept: the section `retention` of policies.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from leads import clock
from leads.clock import Micros
from leads.yaml_files import At, Strict

FOREVER = "forever"
# `leads drift` and `leads skew` look at the last day of predictions.
_SHORTEST_PREDICTIONS: Micros = 2 * clock.DAY
_SHORTEST_OF_MONITORING: tuple[tuple[str, Micros, str], ...] = (
    ("prediction_summaries", 36 * clock.DAY, "windows are compared with the same hours of four weeks"),
    ("metric_rows", 15 * clock.DAY, "pages show two weeks, and rules read several windows"),
    ("outbox", 4 * clock.DAY, "messages that fail are tried again for three days"),
)


def parse_duration(value: object) -> Micros | None:
    """A duration in µs; None for `forever`.

    Raises:
        ValueError: not a duration.

    >>> parse_duration("90d") == 90 * clock.DAY, parse_duration("forever")
    (True, None)
    """
    if value is None or value == FOREVER:
        return None
    try:
        found = clock.from_duration(value) if isinstance(value, str) else 0
    except ValueError:
        found = 0
    # No minutes: `3m` might be meant as months.
    if found == 0 or found % clock.HOUR:
        raise ValueError(
            f"{value!r} is not a duration. Write a number and a unit, h for hours or d for days, for example 90d; "
            f"or {FOREVER}"
        )
    return found


def duration_text(duration: Micros | None) -> str:
    """
    >>> duration_text(90 * clock.DAY), duration_text(36 * clock.HOUR), duration_text(None)
    ('90d', '36h', 'forever')
    """
    if duration is None:
        return FOREVER
    return f"{duration // clock.DAY}d" if duration % clock.DAY == 0 else f"{duration // clock.HOUR}h"


Kept = Annotated[Micros | None, BeforeValidator(parse_duration)]


class RetentionPolicy(Strict):
    """How long each kind of data is kept, in µs; None: forever. `leads prune` deletes what is older."""

    predictions: Kept = Field(default=90 * clock.DAY, description="The prediction log of this home.")
    versions: Kept = Field(
        default=365 * clock.DAY,
        description="Model versions and encoders in MLflow that have no alias, that no roll-back can return to and "
        "that nothing needs; artifacts of training runs without a version. Parameters and metrics of runs stay.",
    )
    reports: Kept = Field(default=30 * clock.DAY, description="The pages of monitoring, and Evidently's reports.")
    logs: Kept = Field(default=14 * clock.DAY, description="Log files that no process writes any more.")
    cache: Kept = Field(
        default=30 * clock.DAY,
        description="Versions that commands fetched from MLflow to read them, and what is left of fine-tunings of "
        "encoders that were ended.",
    )
    encoders: Kept = Field(
        default=30 * clock.DAY,
        description="Fine-tuned encoders that no published version needs and that aren't promoted. They are fetched "
        "again when they are needed.",
    )
    encodings: Kept = Field(default=90 * clock.DAY, description="Sentence vectors of encoders that are no longer used.")
    audit: Kept = Field(default=None, description="Audit entries of leads that are decided or withdrawn.")
    admin_uses: Kept = Field(default=365 * clock.DAY, description="Requests that needed the scope `admin`.")
    drift_verdicts: Kept = Field(
        default=365 * clock.DAY, description="Drift verdicts, except the newest on each version."
    )
    canary_retreats: Kept = Field(
        default=365 * clock.DAY, description="Retreats of canaries that were allowed to try again."
    )

    prediction_summaries: Kept = Field(default=60 * clock.DAY, description="Hourly summaries of predictions.")
    metric_rows: Kept = Field(default=400 * clock.DAY, description="What monitoring measured.")
    monitor_runs: Kept = Field(default=90 * clock.DAY, description="Runs of monitoring's jobs.")
    alerts: Kept = Field(default=400 * clock.DAY, description="Alerts that are resolved, and silences that ended.")
    outbox: Kept = Field(default=30 * clock.DAY, description="Messages that were delivered or given up.")

    @model_validator(mode="after")
    def _what_monitoring_needs(self) -> RetentionPolicy:
        for name, least, why in _SHORTEST_OF_MONITORING:
            kept = getattr(self, name)
            if kept is not None and kept < least:
                text = f"{duration_text(kept)} is too short: {why}. Use at least {duration_text(least)}"
                raise At((name,), text)
        return self

    @model_validator(mode="after")
    def _what_checks_need(self) -> RetentionPolicy:
        if self.predictions is not None and self.predictions < _SHORTEST_PREDICTIONS:
            raise At(
                ("predictions",),
                f"{duration_text(self.predictions)} is too short: leads drift and leads skew read the last day. Use at "
                f"least {duration_text(_SHORTEST_PREDICTIONS)}",
            )
        if self.versions is not None and (self.predictions is None or self.versions < self.predictions):
            raise At(
                ("versions",),
                f"{duration_text(self.versions)} is shorter than retention.predictions "
                f"({duration_text(self.predictions)}): leads skew needs the versions that made the predictions",
            )
        return self

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
        description="Model versions in MLflow that have no alias and that no roll-back can return to, and the "
        "artifacts of training runs without a version. Parameters and metrics of runs stay.",
    )
    reports: Kept = Field(default=30 * clock.DAY, description="Evidently's drift reports.")
    logs: Kept = Field(default=14 * clock.DAY, description="Log files that no process writes any more.")
    cache: Kept = Field(default=30 * clock.DAY, description="Versions that commands fetched from MLflow to read them.")
    encodings: Kept = Field(default=90 * clock.DAY, description="Sentence vectors of encoders that are no longer used.")
    audit: Kept = Field(default=None, description="Audit entries of leads that are decided or withdrawn.")
    admin_uses: Kept = Field(default=365 * clock.DAY, description="Requests that needed the scope `admin`.")
    drift_verdicts: Kept = Field(
        default=365 * clock.DAY, description="Drift verdicts, except the newest on each version."
    )
    canary_retreats: Kept = Field(
        default=365 * clock.DAY, description="Retreats of canaries that were allowed to try again."
    )

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

"""The section `monitoring` of policies.yaml: when the jobs run, and which rules raise alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from leads.alerting.rules import RULES, Severity
from leads.environment.addresses import checked_webhook
from leads.messages import patterns
from leads.yaml_files import Strict

WindowHours = Literal[6, 12, 24, 48, 72, 168]
RuleName = Annotated[str, StringConstraints(pattern=patterns.NAME)]


class RulePolicy(Strict):
    """Changes to a rule. What is absent stays as the rule has it."""

    enabled: bool = True
    severity: Severity | None = Field(default=None, description="`page`: at once; `digest`: once a day.")
    limit: float | None = Field(default=None, description="The value beyond which the rule is broken.")
    harms: tuple[RuleName, ...] | None = Field(default=None, description="Only for these harms. Default: all.")
    retrain: bool = Field(default=False, description="Run `leads retrain` for the harm when the alert opens.")


class WebhookPolicy(Strict):
    """Where alerts are sent. The secret that signs them is the setting LEADS_ALERT_WEBHOOK_SECRET."""

    url: Annotated[str, StringConstraints(max_length=2_000), AfterValidator(checked_webhook)] = Field(
        description="Begins with https://, unless the receiver is on this host."
    )
    severities: tuple[Severity, ...] = ("page", "digest")


class MonitoringPolicy(Strict):
    """When predictions, drift and performance are measured, and what raises an alert."""

    every_minutes: Annotated[float, Field(ge=1, le=1_440)] = Field(
        default=10, description="How often `leads monitor watch` runs the jobs that are due."
    )
    settle_minutes: Annotated[float, Field(ge=0, le=1_440)] = Field(
        default=5, description="An hour is measured this long after its end, when late predictions have been written."
    )
    digest_hour: Annotated[int, Field(ge=0, le=23)] = Field(
        default=7, description="The hour (UTC) at which the digest is sent."
    )
    min_rows: Annotated[int, Field(ge=20, le=1_000_000)] = Field(
        default=100, description="Windows with fewer subjects have no verdict."
    )
    slice_min_rows: Annotated[int, Field(ge=20, le=1_000_000)] = Field(
        default=40, description="The same within a slice."
    )
    window_hours: Annotated[tuple[WindowHours, ...], Field(min_length=1)] = Field(
        default=(6, 24, 72), description="The lengths of the windows in which drift is looked for."
    )
    ignore_sources: tuple[Annotated[str, StringConstraints(min_length=1, max_length=200)], ...] = Field(
        default=(), description="Predictions from these sources (`api`, `worker`) are left out."
    )
    slices: tuple[Annotated[str, StringConstraints(min_length=1, max_length=100)], ...] = Field(
        default=("type", "language"),
        description="What predictions are divided by: `type`, `language`, or a field declared in platform.yaml.",
    )
    webhook: WebhookPolicy | None = None
    rules: Mapping[RuleName, RulePolicy] = Field(default={}, description="Changes to rules, by name.")

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: Mapping[str, RulePolicy]) -> Mapping[str, RulePolicy]:
        unknown = [name for name in rules if name not in RULES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not a rule. Rules: {', '.join(RULES)}")
        return rules

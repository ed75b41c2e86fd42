"""`policies.yaml`: the harms, the subjects they apply to, and what is done with a score."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from leads.alerting.policy import MonitoringPolicy
from leads.errors import ConfigurationError, InvalidInput, NotFound
from leads.messages import patterns
from leads.platform.declaration import Platform, load_platform
from leads.retention.policy import Kept, RetentionPolicy
from leads.settings import Settings, load_settings
from leads.yaml_files import Strict, read_yaml

HarmName = Annotated[str, StringConstraints(pattern=patterns.NAME)]
Share = Annotated[float, Field(gt=0, lt=1)]

# Categories that the DSA transparency database dropped on 2025-07-01, and those that took over what they covered.
_GONE_CATEGORIES = {
    "STATEMENT_CATEGORY_NON_CONSENSUAL_BEHAVIOUR": (
        "STATEMENT_CATEGORY_CYBER_VIOLENCE or STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN"
    ),
    "STATEMENT_CATEGORY_PORNOGRAPHY_OR_SEXUALIZED_CONTENT": (
        "STATEMENT_CATEGORY_OTHER_VIOLATION_TC, or STATEMENT_CATEGORY_CYBER_VIOLENCE if it was shared without consent"
    ),
    "STATEMENT_CATEGORY_SCOPE_OF_PLATFORM_SERVICE": "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
    "STATEMENT_CATEGORY_UNSAFE_AND_ILLEGAL_PRODUCTS": "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
}


def _still_exists(category: object) -> object:
    replacement = _GONE_CATEGORIES.get(category) if isinstance(category, str) else None
    if replacement is not None:
        raise ValueError(f"the DSA no longer has the category {category}; use {replacement}")
    return category


DsaCategory = Annotated[
    Literal[
        "STATEMENT_CATEGORY_ANIMAL_WELFARE",
        "STATEMENT_CATEGORY_CONSUMER_INFORMATION",
        "STATEMENT_CATEGORY_CYBER_VIOLENCE",
        "STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN",
        "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
        "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH",
        "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
        "STATEMENT_CATEGORY_NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS",
        "STATEMENT_CATEGORY_NOT_SPECIFIED_NOTICE",
        "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
        "STATEMENT_CATEGORY_PROTECTION_OF_MINORS",
        "STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY",
        "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
        "STATEMENT_CATEGORY_SELF_HARM",
        "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
        "STATEMENT_CATEGORY_VIOLENCE",
    ],
    BeforeValidator(_still_exists),
]


class TierPolicy(Strict):
    """A tier starts at the lowest score at which its precision target is met, but never below `at_least`."""

    precision: Share = Field(description="Target precision over all subjects in this tier.")
    at_least: Share = Field(default=0.5, description="Lowest score that can reach this tier.")


class FeatureRule(Strict):
    """Requirements on stored features before a score may use them."""

    match: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        description="Feature names; * matches any part: `account.*`."
    )
    max_age_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        default=None, description="Rows whose newest event is older count as missing; if absent, any age is accepted."
    )
    when_missing: Literal["null", "default", "refuse"] = Field(
        default="null", description="What to use for a missing value: NaN (`null`), `default`, or no score (`refuse`)."
    )
    default: float = 0.0

    @property
    def max_age_s(self) -> float | None:
        """`max_age_days` in seconds."""
        return None if self.max_age_days is None else self.max_age_days * 86_400


class RetrainPolicy(Strict):
    """When `leads retrain` trains a harm again, and what happens to the new version."""

    new_labels: Annotated[int, Field(ge=1)] = Field(
        default=50, description="Retrain after this many new labels since the newest version."
    )
    on_drift: bool = Field(default=True, description="Retrain when the champion's newest drift verdict is an alarm.")
    promote: bool = Field(
        default=True, description="Promote the version if it passes the gate; false: a person promotes it."
    )


class RefreshPolicy(Strict):
    """When `leads retrain` fine-tunes the encoder again: at the first of these, but never without a new label."""

    every: Kept = Field(default=None, description="After this time since the last fine-tuning, such as 30d.")
    new_labels: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="After this many new labels of all harms since the last fine-tuning."
    )
    on_drift: bool = Field(
        default=True,
        description="When a champion's newest drift verdict is an alarm, or an alert has started the retraining.",
    )


class EncoderPolicy(Strict):
    """The fine-tuned encoder that harms are trained with."""

    refresh: RefreshPolicy | None = Field(
        default=None, description="If absent, only `leads encoder train` fine-tunes an encoder."
    )


class CanaryPolicy(Strict):
    """How much traffic a canary serves, and the limits at which it retreats in favour of the champion.

    A limit counts as exceeded only when chance is very unlikely as the cause: one bad response never ends a trial.
    """

    share: Share = Field(default=0.05, description="Share of subjects that the canary serves; always the same ones.")
    max_error_rate: Share = Field(default=0.01, description="Maximum share of the canary's calls that may fail.")
    max_slowdown: Annotated[float, Field(gt=1, le=1000)] = Field(
        default=3.0,
        description="Maximum slowdown: the canary's median time may be at most this multiple of the champion's on the "
        "same subjects.",
    )
    max_tier_shift: Share = Field(default=0.1, description="Maximum share of subjects whose tier may change.")
    max_flagged_shift: Share = Field(
        default=0.6,
        description="Maximum share whose tier may change among the subjects that the canary or the champion flags.",
    )
    max_score_shift: Share = Field(
        default=0.1, description="Maximum mean absolute difference between the canary's and the champion's scores."
    )
    at_least: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        default=200, description="Subjects (for slowdown: calls) to compare before any limit but errors is checked."
    )


class HarmPolicy(Strict):
    """One policy area."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    subject_types: Annotated[tuple[HarmName, ...], Field(min_length=1)]
    severity: Annotated[float, Field(gt=0, le=10)] = Field(
        description="Weight of this harm in the queue; 10 is the most severe."
    )
    dsa_category: DsaCategory
    text: bool = Field(default=True, description="Whether the model reads the subject's text.")
    corpora: tuple[Annotated[str, StringConstraints(pattern=patterns.CORPUS)], ...] = Field(
        default=(), description="Public corpora whose labels are used for this harm."
    )
    features: tuple[FeatureRule, ...] = Field(
        default=(), description="Rules for stored features in models trained from now on; the first match applies."
    )
    without_features: Literal["score", "refuse"] | None = Field(
        default=None,
        description="When the online store is down: `score` the text alone and flag the score, or `refuse` to score. "
        "Default: `score` if `text` is true, else `refuse`.",
    )
    review: TierPolicy
    auto: TierPolicy | None = Field(default=None, description="If absent, nothing is decided without a human.")
    retrain: RetrainPolicy = RetrainPolicy()
    canary: CanaryPolicy = CanaryPolicy()

    @model_validator(mode="after")
    def _auto_above_review(self) -> HarmPolicy:
        if self.auto and self.auto.precision <= self.review.precision:
            raise ValueError("auto.precision must be above review.precision")
        if len(set(self.subject_types)) != len(self.subject_types):
            raise ValueError("subject_types lists a type twice")
        return self

    @model_validator(mode="after")
    def _something_left_to_score(self) -> HarmPolicy:
        if self.without_features == "score" and not self.text:
            raise ValueError("without_features can't be score if text is false: there is nothing else to score")
        return self

    @property
    def scores_without_features(self) -> bool:
        """Whether subjects with a text are scored while the online store is down."""
        return self.text if self.without_features is None else self.without_features == "score"


class QueuePolicy(Strict):
    """How leads are leased, how waiting raises their priority, and what makes a decided one reviewable again."""

    lease_minutes: Annotated[float, Field(gt=0, le=1440)] = 15
    max_claimed: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=100, description="The most leads that one reviewer may hold at a time."
    )
    reopen_after_reports: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=10,
        description="Number of people who must report a subject after it was judged not violating before it becomes a "
        "lead again, if its score is high enough.",
    )
    aging_hours: Annotated[float, Field(gt=0)] = Field(
        default=24,
        description="Hours in the queue in which a lead's priority doubles.",
    )


class Policies(Strict):
    """The contents of `policies.yaml`."""

    version: Literal[1]
    queue: QueuePolicy = QueuePolicy()
    retention: RetentionPolicy = RetentionPolicy()
    monitoring: MonitoringPolicy = MonitoringPolicy()
    encoder: EncoderPolicy = EncoderPolicy()
    harms: Annotated[Mapping[HarmName, HarmPolicy], Field(min_length=1)]

    @property
    def digest(self) -> str:
        """Hex SHA-256; equal for files that say the same, whatever their comments and layout.

        `retention`, `monitoring` and `encoder` are left out: they are read again whenever old data are deleted,
        something is measured or a harm is retrained, so a change needs no restart.
        """
        left_out = {"retention", "monitoring", "encoder"}
        return hashlib.sha256(self.model_dump_json(exclude=left_out).encode()).hexdigest()

    def harm(self, name: str, *, field: str = "harm") -> HarmPolicy:
        """Raises NotFound with `field` and the known harms."""
        if name not in self.harms:
            known = ", ".join(self.harms)
            raise NotFound(
                f"Harm {name!r} not found.",
                field=field,
                remedy=f"Harms in policies.yaml: {known}.",
            )
        return self.harms[name]

    def check_type(self, harm: str, type_id: str, *, field: str) -> None:
        """Raises InvalidInput with `field` when the harm, which is known, doesn't apply to this type of subject."""
        types = self.harms[harm].subject_types
        if type_id not in types:
            raise InvalidInput(
                f"{harm} doesn't apply to subjects of type {type_id!r}.",
                field=field,
                remedy=f"It applies to: {', '.join(types)}.",
            )

    def harms_for(self, type_id: str) -> tuple[str, ...]:
        """The harms that apply to a type of subject."""
        return tuple(name for name, harm in self.harms.items() if type_id in harm.subject_types)


def configured() -> tuple[Settings, Policies]:
    """The settings from the environment, and the policies file that they name.

    Raises:
        ConfigurationError: as `load_settings` and `load_policies`.
    """
    settings = load_settings()
    policies = load_policies(settings.policies)
    check_types(policies, load_platform(settings.platform), settings)
    return settings, policies


def check_types(policies: Policies, platform: Platform, settings: Settings) -> None:
    """Raises ConfigurationError if a harm applies to a type of subject that isn't declared."""
    for name, harm in policies.harms.items():
        for type_id in harm.subject_types:
            if type_id not in platform.types:
                raise ConfigurationError(
                    f"harms.{name}.subject_types: the type {type_id!r} isn't declared in {settings.platform}.",
                    field=str(settings.policies),
                    remedy=f"Declare it there, or use one of: {', '.join(platform.types)}.",
                )


def load_policies(path: Path) -> Policies:
    """Read and validate `policies.yaml`.

    Raises:
        ConfigurationError: with file, line, key and remedy, for unknown or duplicate keys, bad values and invalid YAML.
    """
    return read_yaml(path, Policies, remedy="Set LEADS_POLICIES to a readable UTF-8 file.")

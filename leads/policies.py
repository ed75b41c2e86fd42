"""`policies.yaml`: which harms there are, what they apply to, and what to do with a score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from leads.errors import NotFound
from leads.settings import Settings, load_settings
from leads.yaml_files import Strict, read_yaml

HarmName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Share = Annotated[float, Field(gt=0, lt=1)]

DsaCategory = Literal[
    "STATEMENT_CATEGORY_ANIMAL_WELFARE",
    "STATEMENT_CATEGORY_CYBER_VIOLENCE",
    "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS",
    "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH",
    "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS",
    "STATEMENT_CATEGORY_NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS",
    "STATEMENT_CATEGORY_NON_CONSENSUAL_BEHAVIOUR",
    "STATEMENT_CATEGORY_PROTECTION_OF_MINORS",
    "STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY",
    "STATEMENT_CATEGORY_SCAMS_AND_FRAUD",
    "STATEMENT_CATEGORY_SELF_HARM",
    "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS",
    "STATEMENT_CATEGORY_VIOLENCE",
    "STATEMENT_CATEGORY_OTHER_VIOLATION_TC",
]


class TierPolicy(Strict):
    """A tier starts at the lowest score whose precision meets the target, and never below `at_least`."""

    precision: Share = Field(description="Target precision of everything in this tier.")
    at_least: Share = Field(default=0.5, description="No score below this reaches the tier.")


class FeatureRule(Strict):
    """What is asked of stored features before a score may rest on them."""

    match: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        description="Names of features, with * for any part: `account.*`."
    )
    max_age_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        default=None, description="A row whose newest event is older counts as missing; absent: any age."
    )
    when_missing: Literal["null", "default", "refuse"] = Field(
        default="null", description="What a missing value becomes: nothing, `default`, or no score at all."
    )
    default: float = 0.0

    @property
    def max_age_s(self) -> float | None:
        """The same in seconds."""
        return None if self.max_age_days is None else self.max_age_days * 86_400


class RetrainPolicy(Strict):
    """When `leads retrain` trains a harm again, and what becomes of the version."""

    new_labels: Annotated[int, Field(ge=1)] = Field(
        default=50, description="As soon as so many labels came since the newest version."
    )
    on_drift: bool = Field(default=True, description="Or when the champion's newest drift verdict is an alarm.")
    promote: bool = Field(
        default=True, description="Let the version answer if the gate passes it; false: a person promotes it."
    )


class CanaryPolicy(Strict):
    """How much a canary answers, and what it may do before it retreats to the champion by itself.

    A limit counts as passed when what was seen could hardly be chance: one bad answer never ends a trial.
    """

    share: Share = Field(default=0.05, description="The share of subjects it answers for, always the same ones.")
    max_error_rate: Share = Field(default=0.01, description="Of its calls, this share may fail.")
    max_slowdown: Annotated[float, Field(gt=1, le=1000)] = Field(
        default=3.0, description="So many times the champion's time, on the same subjects, half of its calls may take."
    )
    max_tier_shift: Share = Field(default=0.1, description="Of all subjects, this share may get another tier.")
    max_flagged_shift: Share = Field(
        default=0.6, description="Of the subjects that either of the two would flag, this share may get another tier."
    )
    max_score_shift: Share = Field(default=0.1, description="By so much a score may differ from the champion's, mean.")
    at_least: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        default=200, description="Subjects (for slowness: calls) compared before anything but errors is judged."
    )


class HarmPolicy(Strict):
    """One policy area."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    subject_types: Annotated[tuple[HarmName, ...], Field(min_length=1)]
    severity: Annotated[float, Field(gt=0, le=10)] = Field(
        description="Weight of this harm in the queue, 10 the gravest."
    )
    dsa_category: DsaCategory
    text: bool = Field(default=True, description="Whether the subject's text is judged.")
    corpora: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z-]+(:[a-z_]+)?$")], ...] = Field(
        default=(), description="Public corpora whose labels mean this harm."
    )
    features: tuple[FeatureRule, ...] = Field(
        default=(), description="Rules for stored features in models trained from now on; the first match holds."
    )
    without_features: Literal["score", "refuse"] | None = Field(
        default=None,
        description="When the online store doesn't answer: `score` the text alone, flagged, or `refuse`. "
        "Absent: score where text is judged.",
    )
    review: TierPolicy
    auto: TierPolicy | None = Field(default=None, description="Absent: nothing is ever decided without a human.")
    retrain: RetrainPolicy = RetrainPolicy()
    canary: CanaryPolicy = CanaryPolicy()

    @model_validator(mode="after")
    def _auto_above_review(self) -> HarmPolicy:
        if self.auto and self.auto.precision <= self.review.precision:
            raise ValueError("auto.precision must be above review.precision")
        if len(set(self.subject_types)) != len(self.subject_types):
            raise ValueError("subject_types names a type twice")
        return self

    @model_validator(mode="after")
    def _something_left_to_score(self) -> HarmPolicy:
        if self.without_features == "score" and not self.text:
            raise ValueError("without_features can't be score where text is false: nothing would be left to judge")
        return self

    @property
    def scores_without_features(self) -> bool:
        """Whether a subject with a text is scored while the online store doesn't answer."""
        return self.text if self.without_features is None else self.without_features == "score"


class QueuePolicy(Strict):
    """How claimed leads are leased and how waiting counts."""

    lease_minutes: Annotated[float, Field(gt=0, le=1440)] = 15
    aging_hours: Annotated[float, Field(gt=0)] = Field(
        default=24,
        description="After this long in the queue a lead's priority has doubled.",
    )


class Policies(Strict):
    """Everything declared in `policies.yaml`."""

    version: Literal[1]
    queue: QueuePolicy = QueuePolicy()
    harms: Annotated[Mapping[HarmName, HarmPolicy], Field(min_length=1)]

    def harm(self, name: str, *, field: str = "harm") -> HarmPolicy:
        """Raises NotFound, naming `field` and the harms there are."""
        if name not in self.harms:
            known = ", ".join(self.harms)
            raise NotFound(
                f"There is no harm {name!r}.",
                field=field,
                remedy=f"Declared in policies.yaml: {known}.",
            )
        return self.harms[name]

    def harms_for(self, type_id: str) -> tuple[str, ...]:
        """The harms that apply to a type of subject."""
        return tuple(name for name, harm in self.harms.items() if type_id in harm.subject_types)


def configured() -> tuple[Settings, Policies]:
    """The environment's settings and the policies that they name.

    Raises:
        ConfigurationError: as `load_settings` and `load_policies`.
    """
    settings = load_settings()
    return settings, load_policies(settings.policies)


def load_policies(path: Path) -> Policies:
    """Read and validate.

    Raises:
        ConfigurationError: names file, line, key and remedy: unknown keys, bad ranges, duplicates, not YAML.
    """
    return read_yaml(path, Policies, remedy="Name a readable UTF-8 file with LEADS_POLICIES.")

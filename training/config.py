"""How a harm's model is trained: one YAML file per harm, every key with a default that suits most harms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from leads.settings import Settings
from leads.yaml_files import Strict, read_yaml

Positive = Annotated[float, Field(gt=0, le=1e6)]
CalibrationMethod = Literal["platt", "beta", "bent", "isotonic"]
METHODS: tuple[CalibrationMethod, ...] = ("platt", "beta", "bent", "isotonic")

# More of these never makes a subject look more innocent; reviewers expect that and it can't be learned away.
NEVER_LOWER = (
    "item.reports_*",
    "item.reporters_7d",
    "item.reliable_reports_7d",
    "item.notices",
    "item.hash_matches",
    "item.classifier_score",
    "account.reports_*",
    "account.reporters_7d",
    "account.notices_90d",
    "account.strikes",
    "account.strikes_90d",
    "bucket.reports_7d",
    "bucket.violations_90d",
)


class TextConfig(Strict):
    """The text stage."""

    encoder: Literal["none", "minilm"] | None = Field(
        default=None, description="Sentence encoder beside the n-grams; absent: LEADS_ENCODER."
    )
    plain_c: Positive = Field(default=3.0, description="Inverse regularisation of the head on plain TF-IDF.")
    nb_c: Positive = Field(default=1.0, description="The same of the head on NB-weighted TF-IDF.")
    nb_smoothing: Positive = Field(default=0.1, description="Added to each gram's count before the ratio.")
    nb_damping: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.7, description="Ratios to this power: in full they fit the noise of harms with few labels."
    )
    sentence_c: Positive = Field(default=3.0, description="Inverse regularisation of the head on sentence vectors.")


class TreesConfig(Strict):
    """The booster, by XGBoost's own names."""

    max_depth: Annotated[int, Field(ge=1, le=12)] = 3
    eta: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_child_weight: Annotated[float, Field(ge=0)] = 5.0
    reg_lambda: Annotated[float, Field(ge=0)] = 5.0
    subsample: Annotated[float, Field(gt=0, le=1)] = 1.0
    colsample_bytree: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_bin: Annotated[int, Field(ge=2, le=512)] = 64
    max_rounds: Annotated[int, Field(ge=1, le=5_000)] = Field(default=300, description="The most trees there may be.")
    patience: Annotated[int, Field(ge=1)] = Field(default=25, description="Trees without gain before it stops.")


class LabelsConfig(Strict):
    """How much a label counts, by where it comes from."""

    human: Positive = 1.0
    automation: Positive = Field(default=0.3, description="Automation's verdicts repeat what models believed before.")
    corpus: Positive = 1.0
    disputed: Positive = Field(
        default=0.5, description="Factor for a subject about which humans passed different verdicts."
    )


class TuningConfig(Strict):
    """Limits of `leads train --tune`."""

    trials: Annotated[int, Field(ge=1, le=1_000)] = 40
    minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 5.0


class TrainingConfig(Strict):
    """One harm's file; an empty one is all defaults."""

    text: TextConfig = TextConfig()
    trees: TreesConfig = TreesConfig()
    labels: LabelsConfig = LabelsConfig()
    tuning: TuningConfig = TuningConfig()
    positive_weight: Positive = Field(
        default=1.0,
        description="How many times a violating row counts in the trees; scores are calibrated either way.",
    )
    calibration: Literal["auto", "platt", "beta", "bent", "isotonic"] = Field(
        default="auto",
        description="auto: the simplest whose held-out log loss is within one standard error of the best.",
    )
    never_lower: tuple[Annotated[str, StringConstraints(min_length=1, max_length=100)], ...] = Field(
        default=NEVER_LOWER, description="Features, with * for any part, of which more never lowers a score."
    )

    @property
    def methods(self) -> tuple[CalibrationMethod, ...]:
        """The calibrators that are tried."""
        return METHODS if self.calibration == "auto" else (self.calibration,)


DEFAULTS = TrainingConfig()


def load_config(settings: Settings, harm: str) -> TrainingConfig:
    """The harm's file in `LEADS_TRAINING`, or the defaults when it has none.

    Raises:
        ConfigurationError: names file, line and key.
    """
    path = settings.training / f"{harm}.yaml"
    if not path.is_file():
        return DEFAULTS
    return read_yaml(path, TrainingConfig, remedy="Make it readable, or remove it to train with the defaults.")

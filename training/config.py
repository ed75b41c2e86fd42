"""The training configuration: one YAML file per harm. Every key has a default that suits most harms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from leads.settings import Settings
from leads.yaml_files import Strict, read_yaml

Positive = Annotated[float, Field(gt=0, le=1e6)]
CalibrationMethod = Literal["platt", "beta", "bent", "isotonic"]
METHODS: tuple[CalibrationMethod, ...] = ("platt", "beta", "bent", "isotonic")

# Higher values of these features never lower a score. Reviewers expect that, and a model can't unlearn it.
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

    encoder: Literal["auto", "none", "minilm", "tuned"] | None = Field(
        default=None, description="Encoder used besides the n-grams. Default: LEADS_ENCODER."
    )
    plain_c: Positive = Field(default=3.0, description="Inverse regularisation strength of the head on plain TF-IDF.")
    nb_c: Positive = Field(
        default=1.0, description="Inverse regularisation strength of the head on NB-weighted TF-IDF."
    )
    nb_smoothing: Positive = Field(default=0.1, description="Added to each n-gram's count before the log-count ratio.")
    nb_damping: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.7,
        description="Exponent of the log-count ratios. With few labels, 1 would fit noise.",
    )
    sentence_c: Positive = Field(
        default=3.0, description="Inverse regularisation strength of the head on sentence vectors."
    )


class TreesConfig(Strict):
    """The booster. The names are XGBoost's."""

    max_depth: Annotated[int, Field(ge=1, le=12)] = 3
    eta: Annotated[float, Field(gt=0, le=1)] = 0.1
    min_child_weight: Annotated[float, Field(ge=0)] = 5.0
    reg_lambda: Annotated[float, Field(ge=0)] = 5.0
    subsample: Annotated[float, Field(gt=0, le=1)] = 1.0
    colsample_bytree: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_bin: Annotated[int, Field(ge=2, le=512)] = 64
    max_rounds: Annotated[int, Field(ge=1, le=5_000)] = Field(default=300, description="Maximum number of trees.")
    patience: Annotated[int, Field(ge=1)] = Field(default=25, description="Stop after this many trees without gain.")


class LabelsConfig(Strict):
    """Weights of labels in fitting, by source."""

    human: Positive = 1.0
    automation: Positive = Field(default=0.3, description="Low, since automated verdicts repeat earlier models.")
    corpus: Positive = 1.0
    disputed: Positive = Field(default=0.5, description="Factor for a subject on which human reviewers disagreed.")


class TuningConfig(Strict):
    """Limits of the search by `leads train --tune`."""

    trials: Annotated[int, Field(ge=1, le=1_000)] = 40
    minutes: Annotated[float, Field(gt=0, le=24 * 60)] = 5.0


class TrainingConfig(Strict):
    """One harm's file. An empty file means all defaults."""

    text: TextConfig = TextConfig()
    trees: TreesConfig = TreesConfig()
    labels: LabelsConfig = LabelsConfig()
    tuning: TuningConfig = TuningConfig()
    positive_weight: Positive = Field(
        default=1.0,
        description="Weight of violating rows in the trees. Scores are calibrated regardless.",
    )
    calibration: Literal["auto", "platt", "beta", "bent", "isotonic"] = Field(
        default="auto",
        description="auto: the simplest method whose held-out log loss is within one standard error of the best.",
    )
    about_groups: bool = Field(
        default=False,
        description="Whether a violation stays one if it is about another group of people. The model, and an "
        "encoder, are then also trained on texts with the groups exchanged, and on friendly texts about groups.",
    )
    never_lower: tuple[Annotated[str, StringConstraints(min_length=1, max_length=100)], ...] = Field(
        default=NEVER_LOWER,
        description="Features whose higher values never lower a score; * stands for any part of a name.",
    )

    @property
    def methods(self) -> tuple[CalibrationMethod, ...]:
        """The calibration methods to choose from."""
        return METHODS if self.calibration == "auto" else (self.calibration,)


DEFAULTS = TrainingConfig()
# Everything random in training is drawn from it, so equal data gives an equal version.
SEED = 7
# Raise it when equal data and settings must give a different version.
RECIPE = 5


def load_config(settings: Settings, harm: str) -> TrainingConfig:
    """The harm's file in `LEADS_TRAINING`, or the defaults if it has none.

    Raises:
        ConfigurationError: the file is invalid; names file, line and key.
    """
    path = settings.training / f"{harm}.yaml"
    if not path.is_file():
        return DEFAULTS
    return read_yaml(path, TrainingConfig, remedy="Make the file readable, or remove it to train with the defaults.")

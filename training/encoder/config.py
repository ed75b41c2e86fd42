"""The recipe for fine-tuning an encoder: one YAML file, `encoder.yaml`, next to those of the harms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from leads.settings import Settings
from leads.yaml_files import Strict, read_yaml
from training.config import Positive

FILE = "encoder.yaml"


class TuneConfig(Strict):
    """Each key has a default that suits most labels. An empty file means all defaults."""

    epochs: Annotated[int, Field(ge=1, le=20)] = Field(default=2, description="How often each text is seen.")
    batch: Annotated[int, Field(ge=1, le=512)] = Field(default=32, description="Texts per step.")
    max_tokens: Annotated[int, Field(ge=8, le=512)] = Field(
        default=96, description="Longer texts are truncated. Time grows with the length."
    )
    rate: Positive = Field(default=6e-5, description="Learning rate of the encoder.")
    output_rate: Positive = Field(default=1e-3, description="Learning rate of the outputs.")
    frozen_layers: Annotated[int, Field(ge=0, le=5)] = Field(
        default=1, description="The words' vectors and this many of the six layers stay as they are."
    )
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    warm_up: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.06, description="Share of the steps in which the learning rate rises."
    )
    precision: Literal["int8", "float32"] = Field(
        default="int8",
        description="Of the weights in serving. int8 is over twice as fast, and needs a quarter of the memory.",
    )
    augment: bool = Field(
        default=True,
        description="Add texts with target groups exchanged, and neutral and negated mentions of groups.",
    )


def load_tune_config(settings: Settings) -> TuneConfig:
    """The file in `LEADS_TRAINING`, or the defaults if there is none.

    Raises:
        ConfigurationError: the file is invalid; names file, line and key.
    """
    path = settings.training / FILE
    if not path.is_file():
        return TuneConfig()
    return read_yaml(path, TuneConfig, remedy="Make the file readable, or remove it to use the defaults.")

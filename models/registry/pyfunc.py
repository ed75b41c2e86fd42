"""The version as an MLflow pyfunc, for whatever speaks MLflow: `mlflow models serve`, Spark, a notebook.

MLflow runs this file as the model's code, so nothing is pickled. Input: the contract's columns, and `text` for a harm
that is judged by text. Output: `score`, `margin`, `tier`, with serving's numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from models.registry.portable import FOLDER, TEXT
from models.version import ModelVersion, load


class LeadsModel(PythonModel):  # type: ignore[misc]
    """Scores data frames with a version's folder."""

    def __init__(self) -> None:
        self._version: ModelVersion | None = None

    def load_context(self, context: PythonModelContext) -> None:
        """Load the folder among the model's artifacts.

        Raises:
            ModelRefused: it is not what was registered.
        """
        self._version = load(Path(context.artifacts[FOLDER]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """(n, k) columns by name, in any order; a missing value is NaN, a missing text None."""
        version = self._version
        assert version is not None
        features = model_input[list(version.contract.names)].to_numpy(dtype=np.float32)
        texts: list[str | None] = [None] * len(model_input)
        if version.uses_text:
            texts = [text if isinstance(text, str) else None for text in model_input[TEXT]]
        scores = version.score(features, texts)
        tiers = [version.tier(score) for score in scores.score]
        return pd.DataFrame({"score": scores.score, "margin": scores.margin, "tier": tiers}, index=model_input.index)


set_model(LeadsModel())

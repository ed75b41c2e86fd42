"""The version as an MLflow pyfunc, for any MLflow tool: `mlflow models serve`, Spark, a notebook.

MLflow runs this file as the model's code, so nothing is pickled. Input: the contract's columns, and `text` if the
version uses text. Output: `score`, `margin` and `tier`, the same numbers as in serving.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from leads.errors import InvalidInput
from models.registry.artifact import ENCODERS, FOLDER, TEXT
from models.text.sentence import Place
from models.version import ModelVersion, load


class LeadsModel(PythonModel):  # type: ignore[misc]
    """Scores data frames with a version."""

    def __init__(self) -> None:
        self._version: ModelVersion | None = None

    def load_context(self, context: PythonModelContext) -> None:
        """Load the version from the model's artifacts.

        Raises:
            ModelRefused: a file is missing or differs from what was registered.
        """
        encoders = context.artifacts.get(ENCODERS)
        place = Place(tuned=None if encoders is None else Path(encoders))
        self._version = load(Path(context.artifacts[FOLDER]), place)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score n rows. Columns are found by name, in any order; NaN marks a missing value, None a missing text.

        Raises:
            InvalidInput: a column is missing.
        """
        version = self._version
        assert version is not None
        needed = [*version.contract.names, *([TEXT] if version.uses_text else [])]
        lacking = [name for name in needed if name not in model_input.columns]
        if lacking:
            raise InvalidInput(
                f"The rows lack {len(lacking)} of the {len(needed)} columns: {', '.join(lacking)}.",
                field=lacking[0],
                remedy="Add the columns. NaN stands for a missing value, and None for a missing text.",
            )
        features = model_input[list(version.contract.names)].to_numpy(dtype=np.float32)
        texts: list[str | None] = [None] * len(model_input)
        if version.uses_text:
            texts = [text if isinstance(text, str) else None for text in model_input[TEXT]]
        scores = version.score(features, texts)
        tiers = version.tiers(scores)
        return pd.DataFrame({"score": scores.score, "margin": scores.margin, "tier": tiers}, index=model_input.index)


set_model(LeadsModel())

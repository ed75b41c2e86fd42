"""Checks that serving can run an XGBoost model that was fitted elsewhere, and reproduces its numbers."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import xgboost

from leads.errors import InvalidInput
from models.manifest import TEXT_SCORE

if TYPE_CHECKING:
    import pandas as pd

Doubles = npt.NDArray[np.float64]

OBJECTIVES = ("binary:logistic", "binary:logitraw")
BOOSTERS = ("gbtree", "dart")
TOLERANCE = 1e-6
HOW_TO_DECLARE = "To add a feature, declare it in platform.yaml, then run: leads features apply"


class OwnModel(NamedTuple):
    """A checked model.

    Args:
        booster: a copy, with the trees that the original's `predict` uses.
        inputs: its columns in order; `text.score`, if it takes it, is the last.
        objective: XGBoost's name of the objective.
        kind: XGBoost's name of the booster, `gbtree` or `dart`.
        losses: the evaluations after each tree that a classifier recorded while it was fitted, by name.
    """

    booster: xgboost.Booster
    inputs: tuple[str, ...]
    objective: str
    kind: str
    losses: Mapping[str, Sequence[float]]

    @property
    def uses_text_score(self) -> bool:
        return TEXT_SCORE in self.inputs


def checked(model: object, known: Sequence[str], sample: pd.DataFrame, *, optional: Collection[str] = ()) -> OwnModel:
    """Check a fitted `XGBClassifier` or `Booster` and copy what serving needs. The model itself isn't changed.

    A classifier that stopped early keeps the trees up to its best iteration, as its own `predict` does. A booster keeps
    all of its trees.

    Args:
        known: the columns that the model may take.
        sample: rows with these columns, on which the model's margins are compared with those of serving.
        optional: features that `labelled` could have added as columns.

    Raises:
        InvalidInput: serving can't reproduce the model; says why and what to do.
    """
    booster = _booster_of(model)
    learner = json.loads(booster.save_config())["learner"]
    objective, kind = str(learner["objective"]["name"]), str(learner["gradient_booster"]["name"])
    _check_kind(objective, kind, int(learner["learner_model_param"]["num_target"]))
    inputs = _inputs(booster, known, optional)
    raw = bytes(booster.save_raw("ubj"))
    own = OwnModel(xgboost.Booster(model_file=bytearray(raw)), inputs, objective, kind, _losses(model))
    # Loading resets the booster to use every core.
    own.booster.set_param({"nthread": 1})
    _check_margins(model, own, sample)
    return own


def margins_of(model: object, rows: pd.DataFrame) -> Doubles:
    """(n,) the model's own margins for rows that hold its columns in order."""
    if isinstance(model, xgboost.XGBModel):
        raw = model.predict(rows, output_margin=True)
    else:
        assert isinstance(model, xgboost.Booster)
        raw = model.predict(xgboost.DMatrix(rows), output_margin=True)
    return np.asarray(raw, dtype=np.float64)


def _losses(model: object) -> dict[str, Sequence[float]]:
    """What a classifier recorded on its `eval_set`, by name; nothing if it was fitted without one."""
    recorded = getattr(model, "evals_result_", {})
    return {f"{part} {metric}": values for part, each in recorded.items() for metric, values in each.items()}


def _booster_of(model: object) -> xgboost.Booster:
    if isinstance(model, xgboost.Booster):
        return model
    if not isinstance(model, xgboost.XGBClassifier):
        raise InvalidInput(
            f"The model is of type {type(model).__name__}, which serving can't run.",
            field="model",
            remedy="Pass a fitted xgboost.XGBClassifier or xgboost.Booster, not a pipeline that contains one.",
        )
    if not np.isnan(model.missing):
        raise InvalidInput(
            f"The model treats {model.missing!r} as a missing value; serving uses NaN.",
            field="model",
            remedy="Fit it with missing=nan, the default.",
        )
    try:
        booster = model.get_booster()
    except ValueError as error:
        raise InvalidInput(
            "The model isn't fitted.", field="model", remedy="Fit it on labelled.train first."
        ) from error
    best = booster.attr("best_iteration")
    return booster[: int(best) + 1] if best is not None else booster


def _check_kind(objective: str, kind: str, targets: int) -> None:
    if objective not in OBJECTIVES or targets != 1:
        several = f" with {targets} targets" if targets != 1 else ""
        raise InvalidInput(
            f"The model's objective is {objective}{several}; serving needs the probability of a single class.",
            field="model",
            remedy=f"Fit it with the objective {' or '.join(OBJECTIVES)} on labelled.train.y.",
        )
    if kind not in BOOSTERS:
        raise InvalidInput(
            f"Serving can't run a booster of kind {kind}.",
            field="model",
            remedy=f"Fit it with booster={' or '.join(BOOSTERS)}.",
        )


def _inputs(booster: xgboost.Booster, known: Sequence[str], optional: Collection[str]) -> tuple[str, ...]:
    names, types = booster.feature_names, booster.feature_types
    if not names:
        raise InvalidInput(
            "The model has no column names.",
            field="model",
            remedy="Fit it on the data frame labelled.train.X or some of its columns, not on an array.",
        )
    if types and "c" in types:
        raise InvalidInput(
            f"The model treats {names[types.index('c')]} as a category; every feature is a number.",
            field="model",
            remedy="Fit it with enable_categorical=False on labelled.train.X.",
        )
    unknown = [name for name in names if name not in known]
    if unknown:
        remedy = f"Use only the columns in labelled.columns. {HOW_TO_DECLARE}"
        if TEXT_SCORE in unknown:
            remedy = "Get the rows with labelled(…, text_score=True)."
        elif unknown[0] in optional:
            remedy = f'Get the rows with labelled(…, extra_features=["{unknown[0]}"]).'
        raise InvalidInput(f"The model takes an unknown column, {unknown[0]!r}.", field="model", remedy=remedy)
    if TEXT_SCORE in names[:-1] or names == [TEXT_SCORE]:
        raise InvalidInput(
            f"The column {TEXT_SCORE} must come last, after at least one feature.",
            field="model",
            remedy=f'Fit it on labelled.train.X[[…, "{TEXT_SCORE}"]].',
        )
    return tuple(names)


def _check_margins(model: object, own: OwnModel, sample: pd.DataFrame) -> None:
    rows = sample[list(own.inputs)]
    expected = margins_of(model, rows)
    matrix = np.ascontiguousarray(rows.to_numpy(dtype=np.float32))
    ours = own.booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
    apart = np.abs(np.asarray(ours, dtype=np.float64).reshape(len(rows)) - expected).max(initial=0.0)
    if not apart <= TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0))):
        raise InvalidInput(
            f"Serving's margins differ from the model's own by up to {apart:.3g}.",
            field="model",
            remedy="Fit it on the CPU with the installed version of xgboost and without a base_margin.",
        )

"""Whether serving can answer with an XGBoost model that was made elsewhere, and give the very same numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import xgboost

from features.contract import FeatureContract
from leads.errors import InvalidInput
from models.manifest import TEXT_SCORE

if TYPE_CHECKING:
    import pandas as pd

Doubles = npt.NDArray[np.float64]

OBJECTIVES = ("binary:logistic", "binary:logitraw")
BOOSTERS = ("gbtree", "dart")
TOLERANCE = 1e-6


class OwnModel(NamedTuple):
    """A checked model.

    Args:
        booster: a copy, with the trees that its owner's `predict` uses.
        inputs: its columns in order, `text.score` the last where it takes it.
    """

    booster: xgboost.Booster
    inputs: tuple[str, ...]
    objective: str
    kind: str

    @property
    def uses_text_score(self) -> bool:
        return TEXT_SCORE in self.inputs


def checked(model: object, known: Sequence[str], sample: pd.DataFrame) -> OwnModel:
    """What serving needs of a fitted `XGBClassifier` or `Booster`; the model itself stays as it is.

    A classifier that stopped early keeps the trees up to its best iteration, as in its own `predict`; a booster all.

    Args:
        known: the columns that it may take.
        sample: rows with these columns, on which its own margins are compared with those that serving would compute.

    Raises:
        InvalidInput: serving can't reproduce it; says why and what to do.
    """
    booster = _booster_of(model)
    learner = json.loads(booster.save_config())["learner"]
    objective, kind = str(learner["objective"]["name"]), str(learner["gradient_booster"]["name"])
    _check_kind(objective, kind, int(learner["learner_model_param"]["num_target"]))
    inputs = _inputs(booster, known)
    raw = bytes(booster.save_raw("ubj"))
    own = OwnModel(xgboost.Booster(model_file=bytearray(raw)), inputs, objective, kind)
    # Loading resets it to every core.
    own.booster.set_param({"nthread": 1})
    _check_margins(model, own, sample)
    return own


def restricted(contract: FeatureContract, inputs: Sequence[str]) -> FeatureContract:
    """The contract of those columns alone, in this order; their rules stay."""
    columns = {column.name: column for column in contract.columns}
    return FeatureContract(
        contract.feature_service,
        tuple(columns[name] for name in inputs if name != TEXT_SCORE),
        contract.encoder_version,
    )


def margins_of(model: object, rows: pd.DataFrame) -> Doubles:
    """(n,) what the model itself says of rows that hold its columns in order."""
    if isinstance(model, xgboost.XGBModel):
        raw = model.predict(rows, output_margin=True)
    else:
        assert isinstance(model, xgboost.Booster)
        raw = model.predict(xgboost.DMatrix(rows), output_margin=True)
    return np.asarray(raw, dtype=np.float64)


def _booster_of(model: object) -> xgboost.Booster:
    if isinstance(model, xgboost.Booster):
        return model
    if not isinstance(model, xgboost.XGBClassifier):
        raise InvalidInput(
            f"The model is of type {type(model).__name__}.",
            field="model",
            remedy="Give a fitted xgboost.XGBClassifier or xgboost.Booster, by itself and not within a pipeline.",
        )
    if not np.isnan(model.missing):
        raise InvalidInput(
            f"The model takes {model.missing!r} for a missing value; serving writes NaN.",
            field="model",
            remedy="Fit it with missing=nan, the default.",
        )
    try:
        booster = model.get_booster()
    except ValueError as error:
        raise InvalidInput(
            "The model isn't fitted.", field="model", remedy="Fit it on labelled.learn first."
        ) from error
    best = booster.attr("best_iteration")
    return booster[: int(best) + 1] if best is not None else booster


def _check_kind(objective: str, kind: str, targets: int) -> None:
    if objective not in OBJECTIVES or targets != 1:
        several = f" with {targets} targets" if targets != 1 else ""
        raise InvalidInput(
            f"The model's objective is {objective}{several}; a score is the probability of one thing.",
            field="model",
            remedy=f"Fit it with the objective {' or '.join(OBJECTIVES)}, on labelled.learn.y.",
        )
    if kind not in BOOSTERS:
        raise InvalidInput(
            f"Serving doesn't run boosters of the kind {kind}.",
            field="model",
            remedy=f"Fit it with booster={' or '.join(BOOSTERS)}.",
        )


def _inputs(booster: xgboost.Booster, known: Sequence[str]) -> tuple[str, ...]:
    names, types = booster.feature_names, booster.feature_types
    if not names:
        raise InvalidInput(
            "The model doesn't know the names of its columns.",
            field="model",
            remedy="Fit it on the data frame labelled.learn.X, or some of its columns, not on an array.",
        )
    if types and "c" in types:
        raise InvalidInput(
            f"The model takes {names[types.index('c')]} as a category; every feature is a number.",
            field="model",
            remedy="Fit it with enable_categorical=False on labelled.learn.X as it is.",
        )
    unknown = [name for name in names if name not in known]
    if unknown:
        remedy = "Take only columns of labelled.columns: serving has no others."
        if TEXT_SCORE in unknown:
            remedy = "Fit it on what labelled(…, text_score=True) gives."
        raise InvalidInput(f"The model takes a column {unknown[0]!r} that isn't there.", field="model", remedy=remedy)
    if TEXT_SCORE in names[:-1] or names == [TEXT_SCORE]:
        raise InvalidInput(
            f"The column {TEXT_SCORE} comes last, after one feature or more.",
            field="model",
            remedy=f'Fit it on labelled.learn.X[[…, "{TEXT_SCORE}"]].',
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
            remedy="Fit it on the CPU with the installed version of xgboost, and without a base_margin.",
        )

"""Turns a checked model of your own into a fitted model that a version can be built from: calibrator, tiers, origin."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import numpy.typing as npt

from models.calibrator import Calibrator
from models.manifest import TEXT_SCORE
from models.registry.versions import WHY
from models.thresholds import Thresholds
from models.version import ModelVersion, unregistered
from training.build import FittedModel
from training.config import RECIPE, SEED
from training.data import split
from training.data.dataset import Dataset
from training.data.gathered import MIN_OF_EACH
from training.fit import tiers
from training.fit.calibrate import fit_calibrator
from training.fit.training_set import FittedOn
from training.own_model.checks import OwnModel
from training.own_model.labelled_split import LabelledSplit
from training.report.logged import safe_name

Ints = npt.NDArray[np.int64]


def restricted_data(data: Dataset, own: OwnModel) -> Dataset:
    """The data set with only the features that the model takes, in the model's order."""
    return data.with_features([name for name in own.inputs if name != TEXT_SCORE])


def fitted_model(rows: LabelledSplit, own: OwnModel, data: Dataset, why: str) -> FittedModel:
    """Calibrate a checked model and choose its tiers on the calibration set.

    Args:
        data: the data set with the model's features, from `restricted_data`.
        why: why the model is registered; on its card and among its tags.
    """
    calibrated_on, calibrator, thresholds = _calibrated(rows, own)
    version = unregistered(
        rows.harm,
        data.contract,
        own.booster,
        calibrator,
        thresholds,
        starts_from="booster",
        text_stage=rows.text_stage if own.uses_text_score else None,
    )
    return FittedModel(
        version=version,
        provenance=_provenance(rows, own, why),
        fitted_on=FittedOn(fit=rows.train.at, calibration=calibrated_on),
        fingerprint=_fingerprint(rows, own, version),
        learned_text_scores=rows.learned_text_scores,
        params={"objective": own.objective, "booster": own.kind, "inputs": len(own.inputs)},
        tags={WHY: why},
        curves={f"fit/{safe_name(name)} by tree": list(enumerate(each, start=1)) for name, each in own.losses.items()},
    )


def _calibrated(rows: LabelledSplit, own: OwnModel) -> tuple[Ints, Calibrator, Thresholds]:
    """The rows of the calibration set that resemble what will be scored, if they are enough, else all; and the fit."""
    at, vector = rows.calibration.at, rows.calibration.X[list(own.inputs)].to_numpy(dtype=np.float32)
    margin = np.asarray(own.booster.inplace_predict(vector, predict_type="margin", validate_features=False))
    labels, served = rows.calibration.y, rows.data.served[at]
    if min(labels[served].sum(), (~labels[served]).sum()) < MIN_OF_EACH:
        served = np.ones(len(at), dtype=np.bool_)
    at, margins, labels = at[served], margin.astype(np.float64)[served], labels[served]
    folds = split.folds(rows.data.clusters[at], seed=SEED + 2)
    # Methods can only be compared if every fold's complement has rows of both kinds.
    comparable = all(labels[folds != fold].any() and not labels[folds != fold].all() for fold in np.unique(folds))
    calibrator = fit_calibrator(margins, labels, folds, rows.config.methods if comparable else ("platt",))
    scores, groups = calibrator.score(margins), rows.data.groups[at]
    return at, calibrator, tiers.choose(scores, labels, groups, rows.policy, borrowed=rows.data.borrowed)


def _provenance(rows: LabelledSplit, own: OwnModel, why: str) -> str:
    return (
        f"An XGBoost model fitted outside of `leads train` ({own.kind}, {own.objective}, "
        f"{own.booster.num_boosted_rounds()} rounds, {len(own.inputs)} inputs). Reason for registering it: "
        f"{why.rstrip('.')}. A calibrator, fitted on a calibration set of {len(rows.calibration):,} rows, turns its "
        "margin into a probability."
    )


def _fingerprint(rows: LabelledSplit, own: OwnModel, version: ModelVersion) -> str:
    """Hex SHA-256 of model, data, policy and recipe. If it is equal, the version would be equal."""
    digest = hashlib.sha256(bytes(own.booster.save_raw("ubj")))
    for part in (version.contract.to_json(), version.calibrator.to_json(), version.thresholds.to_json()):
        digest.update(part)
    digest.update(version.text_stage.to_bytes() if version.text_stage else b"")
    digest.update(msgspec.json.encode([RECIPE, rows.data.hash, rows.policy.model_dump(mode="json")]))
    return digest.hexdigest()

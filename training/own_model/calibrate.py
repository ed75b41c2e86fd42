"""Makes a version's folder around a checked model of one's own: calibrator, tiers, measures, reference, card."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from sqlalchemy.engine import Engine

from models.calibrator import Calibrator
from models.registry.versions import RunRecord
from models.text.sentence import place_of
from models.thresholds import Thresholds
from models.version import UNREGISTERED, ModelVersion
from models.write import Parts, write_version
from training.behaviour import run
from training.build import DATASET
from training.data import reference, split
from training.data.dataset import MIN_OF_EACH, Dataset
from training.data.reference import Reference
from training.fit import tiers
from training.fit.calibrate import fit_calibrator
from training.own_model.checks import OwnModel, restricted
from training.own_model.rows import Labelled
from training.report import card, plots
from training.report.dataset_card import DatasetCard, card_of, to_mlflow
from training.report.measure import Metrics, for_the_run, measure
from training.train import LABELS_UNTIL, SEED


@dataclass(frozen=True)
class Made:
    """The written version, what was measured, and what the registry keeps about it."""

    version: ModelVersion
    metrics: Metrics
    run: RunRecord


def make(rows: Labelled, own: OwnModel, engine: Engine, folder: Path, *, why: str) -> Made:
    """Write the version to `folder/version` and its plots beside it.

    Raises:
        ModelRefused: what was written doesn't prove itself.
    """
    data = _restricted(rows.data, own)
    version = _draft(rows, own, data)
    metrics, test = measure(version, data, new_labels=None, rounds=own.booster.num_boosted_rounds(), seed=SEED)
    vector, labels = test.scores.vector, test.labels
    drawn = plots.draw(folder, version, test, metrics.test)
    sample = reference.sample(
        rows.settings, engine, rows.policy, version, rows.learned_text_scores, frame=rows.frame, seed=SEED
    )
    counted = card_of(data)
    parts = _parts(rows, version, counted, metrics, sample or Reference(vector, tuple(labels.tolist())), own, why)
    written = write_version(folder / "version", parts, place=place_of(rows.settings))
    return Made(written, metrics, _record(rows, own, written, metrics, counted, drawn, why))


def _restricted(data: Dataset, own: OwnModel) -> Dataset:
    """The data set with the model's own columns alone."""
    contract = restricted(data.contract, own.inputs)
    chosen = [data.contract.names.index(name) for name in contract.names]
    return replace(data, contract=contract, features=data.features[:, chosen])


def _draft(rows: Labelled, own: OwnModel, data: Dataset) -> ModelVersion:
    """The version as it will be, to measure with before it is written."""
    calibrator, thresholds = _calibrated(rows, own)
    return ModelVersion(
        harm=rows.harm,
        version=UNREGISTERED,
        contract=data.contract,
        uses_text=own.uses_text_score,
        starts_from="booster",
        input_names=own.inputs,
        thresholds=thresholds,
        calibrator=calibrator,
        prior_log_odds=0.0,
        booster=own.booster,
        text_stage=rows.text_stage if own.uses_text_score else None,
        folder=Path(),
    )


def _calibrated(rows: Labelled, own: OwnModel) -> tuple[Calibrator, Thresholds]:
    """By the rows set aside for it: those like the ones that will be scored, as soon as they can carry it."""
    at, vector = rows.calibrate.at, rows.calibrate.X[list(own.inputs)].to_numpy(dtype=np.float32)
    margin = np.asarray(own.booster.inplace_predict(vector, predict_type="margin", validate_features=False))
    labels, served = rows.calibrate.y, rows.data.served[at]
    if min(labels[served].sum(), (~labels[served]).sum()) < MIN_OF_EACH:
        served = np.ones(len(at), dtype=np.bool_)
    margins, labels = margin.astype(np.float64)[served], labels[served]
    folds = split.folds(rows.data.clusters[at][served], seed=SEED + 2)
    # Where a fold holds all rows of a kind, what is fitted without it can't be compared.
    whole = all(labels[folds != fold].any() and not labels[folds != fold].all() for fold in np.unique(folds))
    calibrator = fit_calibrator(margins, labels, folds, rows.config.methods if whole else ("platt",))
    return calibrator, tiers.choose(calibrator.score(margins), labels, rows.policy, borrowed=rows.data.borrowed)


def _parts(
    rows: Labelled,
    version: ModelVersion,
    counted: DatasetCard,
    metrics: Metrics,
    sample: Reference,
    own: OwnModel,
    why: str,
) -> Parts:
    behaved = run.report_of(rows.settings, version)
    extra = {DATASET: msgspec.json.encode(counted)}
    if behaved:
        extra[run.FILE] = behaved.to_json()
    how = (
        f"An XGBoost model of one's own ({own.kind}, {own.objective}, {metrics.rounds} rounds on {len(own.inputs)} "
        f"inputs), registered because: {why.strip()} A calibrator, fitted on {len(rows.calibrate):,} rows set aside "
        "for it, turns its margin into a probability."
    )
    return Parts(
        harm=rows.harm,
        contract=version.contract,
        booster=own.booster,
        text_stage=version.text_stage,
        prior_log_odds=0.0,
        calibrator=version.calibrator,
        thresholds=version.thresholds,
        reference=sample.vector,
        reference_labels=sample.labels,
        metrics=msgspec.json.encode(metrics),
        card=card.write(rows.harm, rows.policy, counted, metrics, version.thresholds, how, behaved),
        own_start=True,
        extra=extra,
    )


def _fingerprint(rows: Labelled, own: OwnModel, version: ModelVersion) -> str:
    """Equal for an equal model on equal data under an equal policy: then the version would be the same."""
    digest = hashlib.sha256(bytes(own.booster.save_raw("ubj")))
    for part in (version.contract.to_json(), version.calibrator.to_json(), version.thresholds.to_json()):
        digest.update(part)
    digest.update(version.text_stage.to_bytes() if version.text_stage else b"")
    digest.update(msgspec.json.encode([rows.data.hash, rows.policy.model_dump(mode="json")]))
    return digest.hexdigest()


def _record(
    rows: Labelled,
    own: OwnModel,
    version: ModelVersion,
    metrics: Metrics,
    counted: DatasetCard,
    drawn: tuple[Path, ...],
    why: str,
) -> RunRecord:
    contract = version.contract.hash
    return RunRecord(
        fingerprint=_fingerprint(rows, own, version),
        params={
            "rows": metrics.rows,
            "positives": metrics.positives,
            "rounds": metrics.rounds,
            "seed": SEED,
            "contract": contract,
            "objective": own.objective,
            "booster": own.kind,
            "inputs": len(own.inputs),
        },
        metrics=for_the_run(metrics, version.thresholds),
        tags={
            LABELS_UNTIL: str(rows.data.labels_until),
            "leads.data": rows.data.hash,
            "leads.contract": contract,
            "leads.why": why.strip(),
        },
        files=drawn,
        dataset=to_mlflow(counted),
    )

"""Builds a version from a fitted model: measures it, documents it, writes its folder, and records how it was made.

`training.train` and `training.own_model` both build their versions here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from leads import clock
from leads.policies import HarmPolicy
from models.registry.encoders import NEEDED
from models.registry.versions import (
    CALIBRATION,
    CONTRACT_HASH,
    DATA_HASH,
    DATASET,
    GATE,
    LABELED_UNTIL,
    LABELS_UNTIL,
    Curve,
    RunRecord,
)
from models.text.sentence import place_of
from models.version import ModelVersion
from models.write import Parts, write_version
from training.behaviour import run as behaviour
from training.config import SEED
from training.data import reference
from training.data.dataset import Dataset
from training.data.reference import DriftReference
from training.fit.training_set import FittedOn, training_rows
from training.joining import FrameSource
from training.lifecycle.pages import NOT_ASKED
from training.origin import origin
from training.report import calibration, card, dataset_card, description, logged
from training.report.dataset_card import DatasetCard, card_of, to_mlflow
from training.report.measure import Metrics, measure, on_test
from training.report.plots.draw import draw
from training.report.worst_errors import NAME, WITH_TEXTS, worst_errors
from training.workspace import Workspace


@dataclass(frozen=True)
class FittedModel:
    """A fitted model and what only its maker knows about it.

    Args:
        version: the model as the version it will become; its contract is the data set's.
        provenance: a paragraph for the model card on how it works and where it comes from.
        fitted_on: the rows that the model, its calibrator and its tiers were fitted on.
        fingerprint: equal for models made from equal data and configuration.
        learned_text_scores: out-of-fold text log-odds by text hash of the texts that the text stage was fitted on.
        new_labels: decisions that the harm's newest version didn't know; None if that isn't known.
        params, tags: for the registry, besides those that every version gets.
        files: further files of the version, JSON by name.
        curves: how the fit went, for the registry.
    """

    version: ModelVersion
    provenance: str
    fitted_on: FittedOn
    fingerprint: str
    learned_text_scores: Mapping[int, float]
    new_labels: int | None = None
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)


@dataclass(frozen=True)
class Built:
    """A written version, and what the registry keeps about how it was made."""

    version: ModelVersion
    run: RunRecord


def build(
    space: Workspace,
    policy: HarmPolicy,
    data: Dataset,
    model: FittedModel,
    *,
    frame: FrameSource,
    with_texts: bool = False,
) -> Built:
    """Measure a fitted model on the held-out rows and write its version to the workspace.

    Args:
        with_texts: let the table of its worst errors in the registry contain the rows' texts.

    Raises:
        ModelRefused: the written version doesn't reproduce its own scores.
    """
    settings, version = space.settings, model.version
    rounds = version.booster.num_boosted_rounds()
    metrics, test = measure(version, data, model.fitted_on, new_labels=model.new_labels, rounds=rounds, seed=SEED)
    drawn = draw(space.folder, version, test, metrics)
    sample = reference.sample(
        settings, space.engine, policy, version, model.learned_text_scores, data.feature_set, frame=frame, seed=SEED
    ) or DriftReference(test.scores.vector, tuple(test.labels.tolist()))
    data_card = card_of(data)
    report = behaviour.report_of(settings, version, data.feature_set)
    parts = Parts(
        harm=version.harm,
        contract=version.contract,
        booster=version.booster,
        text_stage=version.text_stage,
        prior_log_odds=version.prior_log_odds,
        calibrator=version.calibrator,
        thresholds=version.thresholds,
        reference=sample.vector,
        reference_labels=sample.labels,
        reference_about=sample.about,
        metrics=msgspec.json.encode(metrics),
        card=card.write(policy, data_card, metrics, version.thresholds, model.provenance, report),
        # All that its maker could fit it on, not only the rows that this model was fitted on: a recipe also chooses.
        trained_on=data.groups[training_rows(data)],
        languages=data.languages,
        own_start=version.starts_from == "booster",
        extra={
            **model.files,
            dataset_card.FILE: msgspec.json.encode(data_card),
            **({behaviour.FILE: report.to_json()} if report else {}),
        },
    )
    written = write_version(space.folder / "version", parts, place=place_of(settings))
    run = _record(settings.mlflow, policy, model, written, data, data_card, metrics)
    errors = {WITH_TEXTS if with_texts else NAME: worst_errors(version, data, test, with_texts=with_texts)}
    return Built(written, replace(run, files=drawn, tables=errors))


def log_errors_with_texts(space: Workspace, version: ModelVersion, number: str, data: Dataset) -> None:
    """Add the table of a registered version's worst errors, with their texts, to its run."""
    table = worst_errors(version, data, on_test(version, data), with_texts=True)
    space.registry.add_table(version.harm, number, WITH_TEXTS, table)


def _record(
    mlflow_uri: str,
    policy: HarmPolicy,
    model: FittedModel,
    version: ModelVersion,
    data: Dataset,
    data_card: DatasetCard,
    metrics: Metrics,
) -> RunRecord:
    contract = version.contract.hash
    shown = {**origin(), **_shown(data, data_card, metrics), **model.tags}
    return RunRecord(
        fingerprint=model.fingerprint,
        params={
            "rows": metrics.rows,
            "positives": metrics.positives,
            "rounds": metrics.rounds,
            "seed": SEED,
            "contract": contract,
            "calibrator": version.calibrator.method,
            **{f"rows_{logged.safe_name(source)}": rows for source, rows in data.sources.items()},
            **model.params,
        },
        metrics=logged.metrics(metrics, version.thresholds),
        tags={
            LABELS_UNTIL: str(data.labels_until),
            DATA_HASH: data.hash,
            CONTRACT_HASH: contract,
            **_needed(version),
            **shown,
        },
        dataset=to_mlflow(data_card),
        curves=model.curves,
        description=description.of_version(policy, version, shown, mlflow_uri=mlflow_uri),
        harm_description=description.of_harm(version.harm, policy, uses_text=version.uses_text, mlflow_uri=mlflow_uri),
    )


def _needed(version: ModelVersion) -> dict[str, str]:
    """The tag that names the encoder which a version needs."""
    stage = version.text_stage
    return {NEEDED: stage.sentence.encoder} if stage is not None and stage.sentence is not None else {}


def _shown(data: Dataset, data_card: DatasetCard, metrics: Metrics) -> dict[str, str]:
    """Tags that people read."""
    test = metrics.test
    verdict = calibration.verdict(test.ece.found, test.chance) if test.ece and test.chance else "Not measured."
    return {
        DATASET: f"{data_card.rows:,} labels, {data_card.violating:,} violating, hash {data.hash[:12]}",
        LABELED_UNTIL: clock.to_text(data.labels_until // clock.SECOND * clock.SECOND)
        if data.labels_until
        else "no decisions",
        CALIBRATION: verdict,
        GATE: NOT_ASKED,
    }

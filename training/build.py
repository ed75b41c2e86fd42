"""Builds a version from a fitted model: measures it, documents it, writes its folder, and records how it was made.

`training.train` and `training.own_model` both build their versions here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from leads.policies import HarmPolicy
from models.registry.versions import CONTRACT_HASH, DATA_HASH, LABELS_UNTIL, RunRecord
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
from training.report import card, plots
from training.report.dataset_card import DatasetCard, card_of, to_mlflow
from training.report.measure import Metrics, for_the_run, measure, mlflow_name
from training.workspace import Workspace

DATASET = "dataset.json"


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


@dataclass(frozen=True)
class Built:
    """A written version, and what the registry keeps about how it was made."""

    version: ModelVersion
    run: RunRecord


def build(space: Workspace, policy: HarmPolicy, data: Dataset, model: FittedModel, *, frame: FrameSource) -> Built:
    """Measure a fitted model on the held-out rows and write its version to the workspace.

    Raises:
        ModelRefused: the written version doesn't reproduce its own scores.
    """
    settings, version = space.settings, model.version
    rounds = version.booster.num_boosted_rounds()
    metrics, test = measure(version, data, model.fitted_on, new_labels=model.new_labels, rounds=rounds, seed=SEED)
    drawn = plots.draw(space.folder, version, test, metrics.test)
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
        metrics=msgspec.json.encode(metrics),
        card=card.write(policy, data_card, metrics, version.thresholds, model.provenance, report),
        # All that its maker could fit it on, not only the rows that this model was fitted on: a recipe also chooses.
        trained_on=data.groups[training_rows(data)],
        languages=data.languages,
        own_start=version.starts_from == "booster",
        extra={
            **model.files,
            DATASET: msgspec.json.encode(data_card),
            **({behaviour.FILE: report.to_json()} if report else {}),
        },
    )
    written = write_version(space.folder / "version", parts, place=place_of(settings))
    return Built(written, _record(model, written, data, data_card, metrics, drawn))


def _record(
    model: FittedModel,
    version: ModelVersion,
    data: Dataset,
    data_card: DatasetCard,
    metrics: Metrics,
    drawn: tuple[Path, ...],
) -> RunRecord:
    contract = version.contract.hash
    return RunRecord(
        fingerprint=model.fingerprint,
        params={
            "rows": metrics.rows,
            "positives": metrics.positives,
            "rounds": metrics.rounds,
            "seed": SEED,
            "contract": contract,
            **{f"rows_{mlflow_name(source)}": rows for source, rows in data.sources.items()},
            **model.params,
        },
        metrics=for_the_run(metrics, version.thresholds),
        tags={LABELS_UNTIL: str(data.labels_until), DATA_HASH: data.hash, CONTRACT_HASH: contract, **model.tags},
        dataset=to_mlflow(data_card),
        files=drawn,
    )

"""Makes a version out of a data set: fits on the earlier rows, measures on the rest, writes folder and plots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from sqlalchemy.engine import Engine

from features.contract import FeatureContract
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.text.sentence import CachedEncoder, open_encoder, place_of
from models.thresholds import Thresholds
from models.version import UNREGISTERED, ModelVersion
from models.write import Parts, write_version
from training.behaviour import run
from training.behaviour.run import BehaviourReport
from training.config import TrainingConfig
from training.data import reference, split
from training.data.dataset import Dataset, FrameSource
from training.data.reference import Reference
from training.fit import tiers
from training.fit.model import Fit, fit
from training.fit.text import count_texts
from training.report import plots
from training.report.card import write_card
from training.report.dataset_card import DatasetCard, card_of
from training.report.measure import Metrics, measure

Ints = npt.NDArray[np.int64]
CONFIG, DATASET = "config.json", "dataset.json"


@dataclass(frozen=True)
class Job:
    """What a version is made from."""

    settings: Settings
    engine: Engine
    harm: str
    policy: HarmPolicy
    config: TrainingConfig
    data: Dataset
    new_labels: int | None
    frame: FrameSource
    seed: int


@dataclass(frozen=True)
class Made:
    """The written version, what was measured, and its plots."""

    version: ModelVersion
    metrics: Metrics
    config: TrainingConfig
    data: DatasetCard
    plots: tuple[Path, ...]


def make(job: Job, folder: Path, *, tell: Callable[[str], None]) -> Made:
    """Write the version to `folder/version` and its plots beside it.

    Raises:
        ConfigurationError: the configuration wants a sentence encoder that isn't installed.
    """
    data, learn = job.data, np.flatnonzero(~job.data.held_out)
    fitted = fit_rows(job, learn, tell=tell)
    thresholds = _thresholds(job, fitted, learn)
    version = draft(job.harm, data.contract, fitted, thresholds)
    tell("measuring")
    metrics, test = measure(version, data, new_labels=job.new_labels, rounds=fitted.rounds, seed=job.seed)
    behaved = run.report_of(job.settings, version)
    drawn = plots.draw(folder, version, test, metrics.test)
    sample = _reference(job, version, fitted, learn) or Reference(test.scores.vector, tuple(test.labels.tolist()))
    data_card = card_of(data)
    parts = _parts(job, fitted, thresholds, metrics, sample, behaved, data_card)
    written = write_version(folder / "version", parts, place=place_of(job.settings))
    return Made(written, metrics, job.config, data_card, drawn)


def fit_rows(job: Job, learn: Ints, *, tell: Callable[[str], None]) -> Fit:
    """Fit on the rows `learn` of the job's data."""
    data = job.data
    counts = None
    if job.policy.text:
        encoder = encoder_of(job.settings, job.config)

        def encoded(done: int, new: int) -> None:
            tell(f"encoding new texts, {done:,} of {new:,}")

        counts = count_texts(data.texts, encoder, on_encoded=encoded)
    tell("fitting")
    return fit(
        data.contract,
        data.features[learn],
        data.labels[learn],
        split.folds(data.clusters[learn], seed=job.seed),
        counts=counts,
        rows=learn,
        config=job.config,
        weights=data.weights[learn],
        served=data.served[learn],
        threads=job.settings.threads,
        seed=job.seed,
    )


def encoder_of(settings: Settings, config: TrainingConfig) -> CachedEncoder | None:
    """The sentence encoder that the configuration, or else the settings, want; None for none.

    Raises:
        ConfigurationError: it isn't installed.
    """
    wanted = config.text.encoder or settings.encoder
    return open_encoder(place_of(settings)) if wanted == "minilm" else None


def draft(harm: str, contract: FeatureContract, fitted: Fit, thresholds: Thresholds) -> ModelVersion:
    """The version as it will be, to measure with before it is written."""
    return ModelVersion(
        harm=harm,
        version=UNREGISTERED,
        contract=contract,
        uses_text=fitted.text_stage is not None,
        starts_from="text" if fitted.text_stage else "prior",
        input_names=fitted.input_names,
        thresholds=thresholds,
        calibrator=fitted.calibrator,
        prior_log_odds=fitted.prior_log_odds,
        booster=fitted.booster,
        text_stage=fitted.text_stage,
        folder=Path(),
    )


def _thresholds(job: Job, fitted: Fit, learn: Ints) -> Thresholds:
    served = job.data.served[learn]
    labels = job.data.labels[learn][served]
    return tiers.choose(fitted.scores[served], labels, job.policy, borrowed=job.data.borrowed)


def _reference(job: Job, version: ModelVersion, fitted: Fit, learn: Ints) -> Reference | None:
    learned: dict[int, float] = {}
    if version.uses_text:
        groups = job.data.groups[learn].tolist()
        learned = dict(zip(groups, fitted.vector[:, -1].tolist(), strict=True))
    return reference.sample(job.settings, job.engine, job.policy, version, learned, frame=job.frame, seed=job.seed)


def _parts(
    job: Job,
    fitted: Fit,
    thresholds: Thresholds,
    metrics: Metrics,
    sample: Reference,
    behaved: BehaviourReport | None,
    data_card: DatasetCard,
) -> Parts:
    extra = {CONFIG: job.config.model_dump_json().encode(), DATASET: msgspec.json.encode(data_card)}
    if behaved:
        extra[run.FILE] = behaved.to_json()
    return Parts(
        harm=job.harm,
        contract=job.data.contract,
        booster=fitted.booster,
        text_stage=fitted.text_stage,
        prior_log_odds=fitted.prior_log_odds,
        calibrator=fitted.calibrator,
        thresholds=thresholds,
        reference=sample.vector,
        reference_labels=sample.labels,
        metrics=msgspec.json.encode(metrics),
        card=write_card(job.harm, job.policy, data_card, metrics, thresholds, fitted, behaved),
        extra=extra,
    )

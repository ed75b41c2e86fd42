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
from models.package import Parts, write_version
from models.thresholds import Thresholds
from models.version import UNREGISTERED, ModelVersion
from training import evaluate, plots, reference, split, tiers
from training.card import write_card
from training.dataset import MIN_HELD_OUT, MIN_OF_EACH, Dataset, FrameSource
from training.evaluate import Evaluation
from training.fit import Fit, fit
from training.reference import Reference
from training.text_fit import count_texts

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_EXPLAINED_ROWS = 500


class Metrics(msgspec.Struct, frozen=True):
    """`metrics.json`. `by_source` holds the average precision on each source's held-out rows, where they allow it."""

    rows: int
    positives: int
    new_labels: int | None
    rounds: int
    test: Evaluation
    by_source: dict[str, float]


@dataclass(frozen=True)
class Job:
    """What a version is made from."""

    settings: Settings
    engine: Engine
    harm: str
    policy: HarmPolicy
    data: Dataset
    new_labels: int | None
    frame: FrameSource
    seed: int


@dataclass(frozen=True)
class Made:
    """The written version, what was measured, and its plots."""

    version: ModelVersion
    metrics: Metrics
    plots: tuple[Path, ...]


def make(job: Job, folder: Path, *, tell: Callable[[str], None]) -> Made:
    """Write the version to `folder/version` and its plots beside it."""
    data = job.data
    learn, held_out = np.flatnonzero(~data.held_out), np.flatnonzero(data.held_out)
    test = held_out[_like_served(data, held_out)]
    tell("fitting")
    counts = count_texts(data.texts) if job.policy.text else None
    fitted = fit(
        data.contract,
        data.features[learn],
        data.labels[learn],
        split.folds(data.groups[learn], seed=job.seed),
        counts=counts,
        rows=learn,
        served=_like_served(data, learn),
        threads=job.settings.threads,
        seed=job.seed,
    )
    thresholds = _thresholds(job, fitted, learn)
    version = draft(job.harm, data.contract, fitted, thresholds)
    tell("measuring")
    texts = data.texts
    scores = version.score(data.features[test], [texts[i] for i in test.tolist()])
    labels = data.labels[test]
    metrics = Metrics(
        rows=len(data.rows),
        positives=int(data.labels.sum()),
        new_labels=job.new_labels,
        rounds=fitted.rounds,
        test=evaluate.evaluate(scores.score, labels, thresholds, seed=job.seed),
        by_source=_by_source(
            data, held_out, version.score(data.features[held_out], [texts[i] for i in held_out.tolist()]).score
        ),
    )
    drawn = plots.draw(
        folder, job.harm, scores.score, labels, metrics.test, thresholds, _importances(version, scores.vector)
    )
    sample = _reference(job, version, fitted, learn) or Reference(scores.vector, tuple(labels.tolist()))
    parts = _parts(job, fitted, thresholds, metrics, sample)
    return Made(write_version(folder / "version", parts), metrics, drawn)


def _thresholds(job: Job, fitted: Fit, learn: Ints) -> Thresholds:
    served = _like_served(job.data, learn)
    return tiers.choose(fitted.scores[served], job.data.labels[learn][served], job.policy)


def _like_served(data: Dataset, rows: Ints) -> Bools:
    """Which of `rows` stand for what will be scored: the platform's own as soon as they can carry it, else all."""
    own = data.on_platform
    enough = _enough(data.labels[own & ~data.held_out], MIN_OF_EACH) and _enough(
        data.labels[own & data.held_out], 2 * MIN_HELD_OUT
    )
    return own[rows] if enough else np.ones(len(rows), dtype=np.bool_)


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


def _by_source(data: Dataset, test: Ints, scores: npt.NDArray[np.float64]) -> dict[str, float]:
    from sklearn.metrics import average_precision_score

    labels = data.labels[test]
    source_of = np.array([data.rows[i].source for i in test.tolist()])
    return {
        source: float(average_precision_score(labels[source_of == source], scores[source_of == source]))
        for source in data.sources
        if _enough(labels[source_of == source], MIN_HELD_OUT)
    }


def _enough(labels: Bools, of_each: int) -> bool:
    return bool(min(labels.sum(), (~labels).sum()) >= of_each)


def _importances(version: ModelVersion, vector: npt.NDArray[np.float32]) -> dict[str, float]:
    parts = np.abs(version.contributions(vector[:_EXPLAINED_ROWS])).mean(axis=0)
    return dict(zip(version.input_names, parts.tolist(), strict=False))


def _reference(job: Job, version: ModelVersion, fitted: Fit, learn: Ints) -> Reference | None:
    learned: dict[int, float] = {}
    if version.uses_text:
        groups = job.data.groups[learn].tolist()
        learned = dict(zip(groups, fitted.vector[:, -1].tolist(), strict=True))
    return reference.sample(job.settings, job.engine, job.policy, version, learned, frame=job.frame, seed=job.seed)


def _parts(job: Job, fitted: Fit, thresholds: Thresholds, metrics: Metrics, sample: Reference) -> Parts:
    card = write_card(job.harm, job.policy, job.data, metrics.test, thresholds, fitted.rounds)
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
        card=card,
    )

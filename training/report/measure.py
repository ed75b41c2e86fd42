"""Measures a version on the held-out rows: overall, by source, and by slice."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from leads.errors import ModelRefused
from models import manifest
from models.scores import Scores
from models.thresholds import Thresholds
from models.version import ModelVersion
from training.data.dataset import Dataset
from training.data.evidence import Evidence, evidence
from training.fit.training_set import FittedOn
from training.report import evaluate, paired, slices
from training.report.evaluate import Evaluation
from training.report.paired import Interval
from training.report.slices import Slice

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Groups = npt.NDArray[np.uint64]


class Metrics(msgspec.Struct, frozen=True):
    """The content of `metrics.json`.

    Args:
        rows, positives: labels in the data set, and how many of them are violating.
        new_labels: decisions that the harm's previous version didn't know; None if that isn't known.
        rounds: number of trees.
        fit, calibration, held_out: the rows that the model was fitted on, those that its calibrator and tiers were
            fitted on, and those that are held out.
        test: measured on those held-out rows that represent what will be scored.
        by_source: average precision on the held-out rows of each source that has enough of both kinds.
        slices: by type of subject, source, length and language of text, and target group.
    """

    rows: int
    positives: int
    new_labels: int | None
    rounds: int
    fit: Evidence
    calibration: Evidence
    held_out: Evidence
    test: Evaluation
    by_source: dict[str, Interval]
    slices: tuple[Slice, ...]


class OnTest(NamedTuple):
    """The version's scores and the labels of those held-out rows that represent what will be scored."""

    scores: Scores
    labels: Bools


def measure(
    version: ModelVersion, data: Dataset, fitted_on: FittedOn, *, new_labels: int | None, rounds: int, seed: int
) -> tuple[Metrics, OnTest]:
    """Measure on the held-out rows. Rows that don't represent what will be scored only count by source and slice."""
    held_out = np.flatnonzero(data.held_out)
    rows, texts, labels, groups = data.rows, data.texts, data.labels[held_out], data.groups[held_out]
    scores = version.score(data.features[held_out], [texts[i] for i in held_out.tolist()])
    served = data.served[held_out]
    test = OnTest(Scores(scores.vector[served], scores.margin[served], scores.score[served]), labels[served])
    measured = [rows[i] for i in held_out.tolist()]
    metrics = Metrics(
        rows=len(rows),
        positives=int(data.labels.sum()),
        new_labels=new_labels,
        rounds=rounds,
        fit=evidence(data.labels[fitted_on.fit], data.groups[fitted_on.fit]),
        calibration=evidence(data.labels[fitted_on.calibration], data.groups[fitted_on.calibration]),
        held_out=evidence(labels, groups),
        test=evaluate.evaluate(test.scores.score, test.labels, groups[served], version.thresholds, seed=seed),
        by_source=_by_source([row.source for row in measured], labels, groups, scores.score, seed=seed),
        slices=slices.of_rows(measured, scores.score, labels),
    )
    return metrics, test


def metrics_of(version: ModelVersion) -> Metrics:
    """The metrics in a version's folder. Raises ModelRefused if they can't be read."""
    raw = manifest.read_file(version.folder, manifest.METRICS)
    try:
        return msgspec.json.decode(raw, type=Metrics)
    except msgspec.MsgspecError as error:
        raise ModelRefused(
            f"{manifest.METRICS} can't be read: {error}.", field=manifest.METRICS, remedy="Train the harm again."
        ) from error


def for_the_run(metrics: Metrics, thresholds: Thresholds) -> dict[str, float]:
    """The metrics that are logged to the MLflow run, by name. What isn't measured is left out."""
    test, starts = metrics.test, {"review": thresholds.review, "auto": thresholds.auto}
    intervals = {"ap": test.ap, "roc_auc": test.roc_auc, "brier": test.brier, "ece": test.ece}
    intervals |= {f"ap_{mlflow_name(source)}": ap for source, ap in metrics.by_source.items()}
    return {
        "test_rows": test.evidence.rows,
        "test_positives": test.evidence.positives,
        "test_distinct": test.evidence.distinct,
        **({} if test.chance is None else {"ece_p": test.chance.p, "ece_by_chance": test.chance.ece}),
        **{name: value for name, found in intervals.items() if found for name, value in _logged(name, found).items()},
        **{f"threshold_{tier}": start for tier, start in starts.items() if start is not None},
    }


def mlflow_name(source: str) -> str:
    """A source's name as MLflow accepts it in names of parameters and metrics."""
    return source.replace(":", "_")


def _logged(name: str, found: Interval) -> dict[str, float]:
    return {name: found.found, f"{name}_low": found.low, f"{name}_high": found.high}


def _by_source(sources: list[str], labels: Bools, groups: Groups, scores: Doubles, *, seed: int) -> dict[str, Interval]:
    found = {}
    for source in sorted(set(sources)):
        inside = np.array([each == source for each in sources])
        own, apart = labels[inside], groups[inside]
        if not evidence(own, apart).missing:
            drawn = paired.resample(own, apart, seed=seed)
            found[source] = paired.measure(paired.average_precision, scores[inside], drawn)
    return found

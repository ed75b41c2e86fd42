"""Measures a version on the held-out rows: overall with intervals, by source, and by slice."""

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
from training.data.dataset import MIN_HELD_OUT, Dataset
from training.report import evaluate, paired, slices
from training.report.evaluate import Evaluation
from training.report.paired import Interval
from training.report.slices import Slice

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


class Metrics(msgspec.Struct, frozen=True):
    """The content of `metrics.json`.

    Args:
        rows, positives: labels in the data set, and how many of them are violating.
        new_labels: decisions that the harm's previous version didn't know; None if that isn't known.
        rounds: number of trees.
        ap_interval, brier_interval: 95% intervals over resamples of the held-out rows, equal texts drawn together.
        by_source: average precision on the held-out rows of each source that has enough of both kinds.
        slices: by type of subject, source, length of text, and target group.
    """

    rows: int
    positives: int
    new_labels: int | None
    rounds: int
    test: Evaluation
    ap_interval: Interval
    brier_interval: Interval
    by_source: dict[str, float]
    slices: tuple[Slice, ...]


class OnTest(NamedTuple):
    """The version's scores and the labels of those held-out rows that represent what will be scored."""

    scores: Scores
    labels: Bools


def measure(
    version: ModelVersion, data: Dataset, *, new_labels: int | None, rounds: int, seed: int
) -> tuple[Metrics, OnTest]:
    """Measure on the held-out rows. Rows that don't represent what will be scored only count by source and slice."""
    held_out = np.flatnonzero(data.held_out)
    rows, texts, labels = data.rows, data.texts, data.labels[held_out]
    scores = version.score(data.features[held_out], [texts[i] for i in held_out.tolist()])
    served = data.served[held_out]
    test = OnTest(Scores(scores.vector[served], scores.margin[served], scores.score[served]), labels[served])
    drawn = paired.resample(test.labels, data.groups[held_out][served], seed=seed)
    measured = [rows[i] for i in held_out.tolist()]
    metrics = Metrics(
        rows=len(rows),
        positives=int(data.labels.sum()),
        new_labels=new_labels,
        rounds=rounds,
        test=evaluate.evaluate(test.scores.score, test.labels, version.thresholds, seed=seed),
        ap_interval=paired.measure(paired.average_precision, test.scores.score, drawn),
        brier_interval=paired.measure(paired.brier, test.scores.score, drawn),
        by_source=_by_source([row.source for row in measured], labels, scores.score),
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
    """The metrics that are logged to the MLflow run, by name."""
    test, starts = metrics.test, {"review": thresholds.review, "auto": thresholds.auto}
    return {
        "ap": test.ap,
        "roc_auc": test.roc_auc,
        "brier": test.brier,
        "ece": test.ece,
        "ece_p": test.ece_p,
        "test_rows": test.rows,
        "test_positives": test.positives,
        **{f"threshold_{tier}": start for tier, start in starts.items() if start is not None},
    }


def _by_source(sources: list[str], labels: Bools, scores: Doubles) -> dict[str, float]:
    from sklearn.metrics import average_precision_score

    found = {}
    for source in sorted(set(sources)):
        inside = np.array([each == source for each in sources])
        own = labels[inside]
        if min(own.sum(), (~own).sum()) >= MIN_HELD_OUT:
            found[source] = float(average_precision_score(own, scores[inside]))
    return found

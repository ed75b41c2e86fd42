"""Measures a version on the held-out rows: overall, by source, and by slice."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from leads.errors import ModelRefused
from models import manifest
from models.scores import Scores
from models.version import ModelVersion
from training.data.dataset import Dataset
from training.evidence import Evidence, evidence
from training.fit.training_set import FittedOn
from training.report import evaluate, paired, slices
from training.report.evaluate import Evaluation
from training.report.paired import Interval
from training.report.slices import Slice

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Groups = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


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
    """The version's scores of those n held-out rows that represent what will be scored.

    Args:
        groups: (n,) equal for rows that are one observation.
        at: (n,) their positions in the data set.
    """

    scores: Scores
    labels: Bools
    groups: Groups
    at: Ints


def measure(
    version: ModelVersion, data: Dataset, fitted_on: FittedOn, *, new_labels: int | None, rounds: int, seed: int
) -> tuple[Metrics, OnTest]:
    """Measure on the held-out rows. Rows that don't represent what will be scored only count by source and slice."""
    held_out = np.flatnonzero(data.held_out)
    labels, groups, scores = data.labels[held_out], data.groups[held_out], _scores(version, data, held_out)
    test = _on_test(data, held_out, scores)
    measured = [data.rows[i] for i in held_out.tolist()]
    metrics = Metrics(
        rows=len(data.rows),
        positives=int(data.labels.sum()),
        new_labels=new_labels,
        rounds=rounds,
        fit=evidence(data.labels[fitted_on.fit], data.groups[fitted_on.fit]),
        calibration=evidence(data.labels[fitted_on.calibration], data.groups[fitted_on.calibration]),
        held_out=evidence(labels, groups),
        test=evaluate.evaluate(test.scores.score, test.labels, test.groups, version.thresholds, seed=seed),
        by_source=_by_source([row.source for row in measured], labels, groups, scores.score, seed=seed),
        slices=slices.of_rows(measured, scores.score, labels),
    )
    return metrics, test


def on_test(version: ModelVersion, data: Dataset) -> OnTest:
    """The version's scores of the held-out rows that represent what will be scored."""
    held_out = np.flatnonzero(data.held_out)
    return _on_test(data, held_out, _scores(version, data, held_out))


def metrics_of(version: ModelVersion) -> Metrics:
    """The metrics in a version's folder. Raises ModelRefused if they can't be read."""
    raw = manifest.read_file(version.folder, manifest.METRICS)
    try:
        return msgspec.json.decode(raw, type=Metrics)
    except msgspec.MsgspecError as error:
        raise ModelRefused(
            f"{manifest.METRICS} can't be read: {error}.", field=manifest.METRICS, remedy="Train the harm again."
        ) from error


def _scores(version: ModelVersion, data: Dataset, at: Ints) -> Scores:
    return version.score(data.features[at], [data.texts[i] for i in at.tolist()])


def _on_test(data: Dataset, held_out: Ints, scores: Scores) -> OnTest:
    served = data.served[held_out]
    at = held_out[served]
    of_served = Scores(scores.vector[served], scores.margin[served], scores.score[served])
    return OnTest(of_served, data.labels[at], data.groups[at], at)


def _by_source(sources: list[str], labels: Bools, groups: Groups, scores: Doubles, *, seed: int) -> dict[str, Interval]:
    found = {}
    for source in sorted(set(sources)):
        inside = np.array([each == source for each in sources])
        own, apart = labels[inside], groups[inside]
        if not evidence(own, apart).missing:
            drawn = paired.resample(own, apart, seed=seed)
            found[source] = paired.measure(paired.average_precision, scores[inside], drawn)
    return found

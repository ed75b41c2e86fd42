"""Evaluates versions on the same held-out rows of a harm, and compares two of them in every measure."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
import numpy.typing as npt

from features.evaluate.columns import text_only
from models.version import ModelVersion
from training.contracts import check_satisfied
from training.data.dataset import Dataset
from training.data.labelled_rows import LabelledRow
from training.evidence import Evidence, evidence
from training.gate.overlap import Overlap, trained_on
from training.report import paired
from training.report.calibration import Chance, by_chance
from training.report.evaluate import AtTier, at_tiers
from training.report.paired import Interval, Resamples

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

TIMED_CALLS = 200
_TIMED_ROWS = 20
CALIBRATION_ERROR = "calibration error (ECE)"
AP = "average precision"
_MEASURES = (
    (AP, paired.average_precision),
    ("Brier score", paired.brier),
    (CALIBRATION_ERROR, paired.calibration_error),
)


@dataclass(frozen=True)
class HeldOut:
    """The n held-out rows that versions are judged on, without those that one of them was trained on.

    Args:
        at: (n,) their positions in `data`.
        features: (n, k) by the contract of `data`.
        served: (n,) True for rows that represent what is scored on the platform.
        overlap: the rows like those that were left out.
    """

    data: Dataset
    at: Ints
    features: Floats
    texts: tuple[str | None, ...]
    labels: Bools
    groups: npt.NDArray[np.uint64]
    rows: tuple[LabelledRow, ...]
    served: Bools
    overlap: Overlap

    def scores(self, version: ModelVersion) -> Doubles:
        """(n,) scores of any version whose contract the features of `data` satisfy.

        Every data set has all stored features, whatever its contract; features of the text are computed here if the
        data set lacks them. Rules on old and missing values are those of the data set.

        Raises:
            ModelRefused: the features can't satisfy the version's contract.
        """
        check_satisfied(version, self.data.feature_set)
        return version.score(self.features_for(version), self.texts).score

    def features_for(self, version: ModelVersion) -> Floats:
        """(n, j) features by the version's contract."""
        ours = self.data.contract
        if version.contract == ours:
            return self.features
        matrix = text_only(version.contract, self.texts, self.data.feature_set)
        known = {one.column.name: one.values[self.at] for one in self.data.optional}
        known |= dict(zip(ours.names, self.features.T, strict=True))
        for j, name in enumerate(version.contract.names):
            if name in known:
                matrix[:, j] = known[name]
        return matrix

    @cached_property
    def of_served(self) -> Evidence:
        """How much the served rows can tell."""
        return evidence(self.labels[self.served], self.groups[self.served])

    def resamples(self, *, seed: int) -> Resamples:
        """Resamples of the served rows."""
        return paired.resample(self.labels[self.served], self.groups[self.served], seed=seed)


class VersionFigures(msgspec.Struct, frozen=True):
    """What calibrated scores would give for one version's calibration error, and its tiers, on the held-out rows."""

    version: str
    chance: Chance
    tiers: tuple[AtTier, ...]


class Compared(msgspec.Struct, frozen=True):
    """One measure of both versions, and the difference of `new` minus `old`. None without an old version."""

    name: str
    new: Interval
    old: Interval | None = None
    difference: Interval | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Two versions on the same rows, the old one first.

    Args:
        evidence: the rows that neither was trained on, as far as that is known, and `overlap` the others.
        measures, figures: empty if the rows are too few or too similar; `evidence.missing` says what is missing.
        milliseconds: median per row.
    """

    evidence: Evidence
    overlap: Overlap
    measures: tuple[Compared, ...]
    figures: tuple[VersionFigures, ...]
    milliseconds: tuple[float, ...]


def held_out(data: Dataset, versions: Sequence[ModelVersion] = ()) -> HeldOut:
    """The held-out rows of a data set, except those that one of the versions was trained on.

    Raises:
        ModelRefused: it can't be read what a version was trained on.
    """
    everything = np.flatnonzero(data.held_out)
    seen, trained, unknown = trained_on(versions, data.groups[everything])
    served = data.served[everything]
    rows = everything[~seen]
    chosen = rows.tolist()
    texts = data.texts
    return HeldOut(
        data=data,
        at=rows,
        features=data.features[rows],
        texts=tuple(texts[i] for i in chosen),
        labels=data.labels[rows],
        groups=data.groups[rows],
        rows=tuple(data.rows[i] for i in chosen),
        served=data.served[rows],
        overlap=Overlap(
            versions=tuple(version.version for version in versions),
            rows=int(served.sum()),
            left_out=int((served & seen).sum()),
            trained=trained,
            unknown=unknown,
        ),
    )


def compare(old: ModelVersion, new: ModelVersion, data: Dataset, *, seed: int) -> Comparison:
    """Measure two versions on the served rows among the held-out ones.

    Raises:
        ModelRefused: the features of `data` can't satisfy a version's contract, or a version's files can't be read.
    """
    both = old, new
    rows, timed = held_out(data, both), held_out(data)
    for version in both:
        check_satisfied(version, data.feature_set)
    if rows.of_served.missing:
        return Comparison(rows.of_served, rows.overlap, (), (), single_row_ms(both, timed))
    before, after = (rows.scores(version)[rows.served] for version in both)
    measures = measured(rows.resamples(seed=seed), after, before)
    figures = tuple(figures_of(version, rows, scores, seed=seed) for version, scores in ((old, before), (new, after)))
    return Comparison(rows.of_served, rows.overlap, measures, figures, single_row_ms(both, timed))


def measured(drawn: Resamples, new: Doubles, old: Doubles | None) -> tuple[Compared, ...]:
    """Every measure of one or two versions' (n,) scores on the same resamples."""
    found = []
    for name, of in _MEASURES:
        if old is None:
            found.append(Compared(name, paired.measure(of, new, drawn)))
        else:
            before, difference = paired.measure(of, old, drawn), paired.difference(of, old, new, drawn)
            found.append(Compared(name, paired.measure(of, new, drawn), before, difference))
    return tuple(found)


def figures_of(version: ModelVersion, rows: HeldOut, scores: Doubles, *, seed: int) -> VersionFigures:
    """A version's figures on the served rows, by its (n,) scores on them."""
    labels, groups = rows.labels[rows.served], rows.groups[rows.served]
    chance = by_chance(scores, labels, groups=groups, seed=seed)
    return VersionFigures(version.version, chance, at_tiers(scores, labels, groups, version.thresholds))


def single_row_ms(versions: tuple[ModelVersion, ...], rows: HeldOut, *, calls: int = TIMED_CALLS) -> tuple[float, ...]:
    """The median milliseconds that each version takes per row. After a warm-up the versions are timed in turn.

    Each text is made new by a word at its end: an encoder's vectors of known texts are cached, also on disk.
    """
    some = min(_TIMED_ROWS, len(rows.texts))
    inputs = [rows.features_for(version)[:some] for version in versions]
    taken = np.empty((len(versions), calls))
    for call in range(-some, calls):
        i = call % some
        known = rows.texts[i]
        for v, version in enumerate(versions):
            # New for each version: two may share an encoder.
            text = None if known is None else f"{known} {secrets.token_hex(3)}"
            started = time.perf_counter_ns()
            version.score(inputs[v][i : i + 1], [text])
            if call >= 0:
                taken[v, call] = time.perf_counter_ns() - started
    return tuple((np.median(taken, axis=1) / 1e6).tolist())

"""Measures a version on slices of the held-out rows, and finds slices that are far behind the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from leads.estimates.clusters import observations
from leads.text import present
from training.data.labelled_rows import LabelledRow
from training.evidence import MIN_DISTINCT, evidence
from training.report import paired
from training.report.paired import Interval

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.uint64]

# Fewer than for the whole: there are many slices, and nothing is decided by these intervals.
_RESAMPLES, _SEED = 200, 7
# Quantile of a two-sided 95% interval of the normal distribution.
Z = 1.96
AUC_MARGIN = 0.05
CALIBRATION_MARGIN = 0.05
CALIBRATION_ERRORS = 3.0


class Slice(msgspec.Struct, frozen=True):
    """The held-out rows that have one value of one dimension.

    Args:
        distinct: rows that differ in their text (accounts: in their subject).
        ap: average precision; None with fewer than ten distinct rows of either kind.
        roc_auc, roc_auc_se: ROC AUC and DeLong's standard error, by which slices are compared; None as for `ap`.
        rest_auc: ROC AUC of all other rows whose value is known; None as for `ap`.
        mean_score, share: mean score, and share of violating rows.
        behind: whether the slice is far behind the rest. `why` says in what; empty if it isn't.
        auc: ROC AUC with its interval over resamples, as for the whole; None as for `ap`, and in versions that earlier
            releases made.
    """

    dimension: str
    value: str
    rows: int
    distinct: int
    positives: int
    ap: Interval | None
    roc_auc: float | None
    roc_auc_se: float | None
    rest_auc: float | None
    mean_score: float
    share: Interval
    behind: bool
    why: str
    auc: Interval | None = None


class Auc(NamedTuple):
    """An area under the ROC curve and its standard error."""

    area: float
    error: float


def dimensions(
    types: Sequence[str],
    sources: Sequence[str],
    texts: Sequence[str | None],
    languages: Sequence[str | None],
    targets: Sequence[str | None],
) -> dict[str, list[str | None]]:
    """The values, (n,) each, that rows are sliced by: subject type, source, length and language of text, target group.

    Args:
        languages: of the texts. A row whose language is None is in no slice by language.
        targets: the group that each text is about. A row whose target is None is in no slice by target group.
    """
    return {
        "type": list(types),
        "source": list(sources),
        "text length": [_length(text) for text in texts],
        "language": list(languages),
        "target group": list(targets),
    }


def of_rows(rows: Sequence[LabelledRow], scores: Doubles, labels: Bools) -> tuple[Slice, ...]:
    """Measure (n,) scores and labels by each dimension in which the n rows have more than one value."""
    names = dimensions(
        [row.type_id or "text" for row in rows],
        [row.source for row in rows],
        [row.text for row in rows],
        [row.language for row in rows],
        [row.target for row in rows],
    )
    groups = np.array([row.group for row in rows], dtype=np.uint64)
    return measure(scores, labels, groups, {name: values for name, values in names.items() if len(set(values)) > 1})


def measure(
    scores: Doubles, labels: Bools, groups: Groups, names: Mapping[str, Sequence[str | None]]
) -> tuple[Slice, ...]:
    """Measure each slice of (n,) scores and labels, by dimension and then by value.

    A slice is behind if the 95% interval of the difference between its ROC AUC and that of the other rows lies below
    -0.05, or if its mean score differs from its share of violating rows by more than 0.05 and three standard errors.
    That takes at least ten distinct rows, and for the AUC ten of either kind both inside and outside of the slice.

    Args:
        groups: (n,) equal for rows that are one observation.
        names: (n,) values by dimension, None for rows without one; from `dimensions`.
    """
    found = []
    for dimension, values in names.items():
        known = np.array([value is not None for value in values], dtype=np.bool_)
        of = np.array([value or "" for value in values], dtype=np.str_)
        for value in sorted({value for value in values if value is not None}):
            inside = known & (of == value)
            found.append(_slice(dimension, value, scores, labels, groups, inside, known & ~inside))
    return tuple(found)


def behind(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """The slices that are far behind the rest."""
    return tuple(one for one in slices if one.behind)


def telling(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    """The slices with at least ten distinct rows. Figures of fewer are only in the model card."""
    return tuple(one for one in slices if one.distinct >= MIN_DISTINCT)


def markdown(slices: Sequence[Slice]) -> str:
    """The model card's section on slices: a sentence on those far behind, then a table of all."""
    lagging = "; ".join(f"{one.dimension} {_cell(one.value)} ({one.why})" for one in behind(slices))
    sentence = f"Far behind the rest: {lagging}." if lagging else "No slice is far behind the rest."
    sentence += " Figures have 95% intervals; ranking takes ten distinct rows of either kind."
    lines = [
        "| slice | rows | distinct | violating | average precision | ROC AUC | mean score | share violating |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {one.dimension}: {_cell(one.value)} | {one.rows:,} | {one.distinct:,} | {one.positives:,} "
            f"| {_interval(one.ap)} | {_auc(one)} | {one.mean_score:.3f} | {_interval(one.share)} |"
            for one in slices
        ),
    ]
    return "\n".join([sentence, "", *lines]) + "\n"


def roc_auc(scores: Doubles, labels: Bools) -> Auc | None:
    """ROC AUC of (n,) scores, with DeLong's (1988) standard error computed by midranks (Sun and Xu 2014).

    None with fewer than ten rows of either kind.
    """
    from scipy.stats import rankdata

    positive, negative = scores[labels], scores[~labels]
    m, n = len(positive), len(negative)
    if min(m, n) < MIN_DISTINCT:
        return None
    ranks = rankdata(np.concatenate((positive, negative)))
    # For each positive the share of negatives below, for each negative the share of positives above. Ties count half.
    below = (ranks[:m] - rankdata(positive)) / n
    above = 1 - (ranks[m:] - rankdata(negative)) / m
    return Auc(float(below.mean()), math.sqrt(float(below.var(ddof=1) / m + above.var(ddof=1) / n)))


def _slice(
    dimension: str, value: str, scores: Doubles, labels: Bools, groups: Groups, inside: Bools, rest: Bools
) -> Slice:
    own, truth, apart = scores[inside], labels[inside], groups[inside]
    ours = _clustered_auc(own, truth, apart)
    others = _clustered_auc(scores[rest], labels[rest], groups[rest])
    why = [text for text in (_ranks_worse(ours, others), _miscalibrated(own, truth, apart)) if text]
    share = paired.share(truth, apart)
    assert share is not None
    ap, auc = _ranking(own, truth, apart)
    return Slice(
        dimension=dimension,
        value=value,
        rows=len(own),
        distinct=len(np.unique(apart)),
        positives=int(truth.sum()),
        ap=ap,
        roc_auc=ours.area if ours else None,
        roc_auc_se=ours.error if ours else None,
        rest_auc=others.area if others else None,
        mean_score=float(own.mean()),
        share=share,
        behind=bool(why),
        why=", ".join(why),
        auc=auc,
    )


def _ranks_worse(ours: Auc | None, others: Auc | None) -> str:
    if ours is None or others is None:
        return ""
    # The other rows may be few too, so their error is included; if they are many it is negligible.
    error = math.hypot(ours.error, others.error)
    if ours.area + Z * error >= others.area - AUC_MARGIN:
        return ""
    return f"ROC AUC {ours.area:.3f}, elsewhere {others.area:.3f}"


def _miscalibrated(scores: Doubles, labels: Bools, groups: Groups) -> str:
    n = observations(groups)
    if n < MIN_DISTINCT:
        return ""
    mean, share = float(scores.mean()), float(labels.mean())
    # The larger of the variances by scores and by labels: either one vanishes if all of its values are 0 or 1.
    variance = max(float((scores * (1 - scores)).mean()), share * (1 - share))
    if abs(mean - share) <= max(CALIBRATION_MARGIN, CALIBRATION_ERRORS * math.sqrt(variance / n)):
        return ""
    return f"mean score {mean:.3f}, share violating {share:.3f}"


def _clustered_auc(scores: Doubles, labels: Bools, groups: Groups) -> Auc | None:
    """The AUC with an error that takes rows of one group as one observation; None with too few distinct rows."""
    found = None if evidence(labels, groups).missing else roc_auc(scores, labels)
    return found and Auc(found.area, found.error * math.sqrt(len(labels) / observations(groups)))


def _ranking(scores: Doubles, labels: Bools, groups: Groups) -> tuple[Interval | None, Interval | None]:
    """Average precision and ROC AUC on the same resamples."""
    if evidence(labels, groups).missing:
        return None, None
    drawn = paired.resample(labels, groups, seed=_SEED, times=_RESAMPLES)
    return paired.measure(paired.average_precision, scores, drawn), paired.measure(paired.roc_auc, scores, drawn)


def _length(text: str | None) -> str:
    if text is None or present(text) is None:
        return "none"
    if len(text) <= 50:
        return "up to 50"
    return "51 to 200" if len(text) <= 200 else "over 200"


def _auc(one: Slice) -> str:
    if one.auc is None:
        return "–" if one.roc_auc is None else f"{one.roc_auc:.3f}"
    return one.auc.text()


def _interval(found: Interval | None) -> str:
    return "–" if found is None else found.text()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")

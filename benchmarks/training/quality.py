"""Quality of the text harms next to the baseline, on the same rows, by the very code that trains and serves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.report import Measure, at_least
from benchmarks.training.texts import (
    TEST_SHARE,
    Baseline,
    Corpus,
    Split,
    average_precision,
    baseline,
    best_threshold,
    macro_f1,
    split,
)
from features.evaluate.columns import contract_for, text_only
from leads.policies import HarmPolicy, TierPolicy
from leads.settings import Settings
from models.text.sentence import CachedEncoder
from models.thresholds import Thresholds
from models.version import ModelVersion
from training.config import load_config
from training.data.split import folds
from training.fit import tiers
from training.fit.counts import TextCounts, count_texts
from training.fit.model import Fit, draft, fit
from training.report import paired
from training.report.calibration import by_chance

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Groups = npt.NDArray[np.uint64]

MARGIN = 0.01


class Figures(NamedTuple):
    """How one side does on one split."""

    ap: float
    macro_f1: float
    brier: float


class SplitResult(NamedTuple):
    """Both sides on one split.

    Args:
        ece_p: p-value of our calibration.
        tiers: p-value of the precision of each tier that is offered.
        seconds: that our fit took.
        scores: (n,) ours of the test rows.
        version: ours.
    """

    ours: Figures
    peer: Figures
    ece_p: float
    tiers: dict[str, float]
    seconds: float
    scores: Doubles
    version: ModelVersion


class SetUp(NamedTuple):
    """How our side is trained: `default` with n-grams alone, `best` with the sentence encoder too."""

    name: str
    encoder: CachedEncoder | None


def counts_of(settings: Settings, corpus: Corpus, set_up: SetUp) -> TextCounts:
    """The n-gram counts of the corpus's texts, and their sentence vectors when the set-up has an encoder."""
    about_groups = load_config(settings, corpus.harm).about_groups
    return count_texts(corpus.texts, set_up.encoder, about_groups=about_groups)


def train(settings: Settings, corpus: Corpus, counts: TextCounts, rows: Split, seed: int) -> tuple[Fit, ModelVersion]:
    """Fit on the split's training rows; the platform's features are missing, as they are for raw text."""
    contract = contract_for(text=True)
    texts = [corpus.texts[i] for i in rows.learn.tolist()]
    fitted = fit(
        contract,
        text_only(contract, texts),
        corpus.labels[rows.learn],
        folds(corpus.groups[rows.learn], seed=seed),
        counts=counts,
        rows=rows.learn,
        threads=settings.threads,
        seed=seed,
    )
    return fitted, draft(corpus.harm, contract, fitted, Thresholds(None, None, {}))


def score(version: ModelVersion, texts: Sequence[str]) -> Doubles:
    """(n,) scores of raw texts."""
    return version.score(text_only(version.contract, texts), texts).score


def on_split(
    settings: Settings, policy: HarmPolicy, corpus: Corpus, counts: TextCounts, seed: int, peer: Baseline
) -> SplitResult:
    """Train and test on one split."""
    rows = split(corpus, seed)
    labels = corpus.labels[rows.test]
    started = time.perf_counter()
    fitted, version = train(settings, corpus, counts, rows, seed)
    seconds = time.perf_counter() - started
    scores = score(version, [corpus.texts[i] for i in rows.test.tolist()])
    learned, groups = corpus.labels[rows.learn], corpus.groups[rows.learn]
    offered = {"review": policy.review} | ({"auto": policy.auto} if policy.auto else {})
    tiers_p = {name: _precision_p(fitted, learned, groups, tier, scores, labels) for name, tier in offered.items()}
    return SplitResult(
        _figures(labels, scores, best_threshold(fitted.scores, learned)),
        _figures(labels, peer.scores, peer.threshold),
        by_chance(scores, labels, seed=seed).p,
        {name: p for name, p in tiers_p.items() if p is not None},
        seconds,
        scores,
        version,
    )


def across(
    settings: Settings, corpus: Corpus, rows: Split, set_up: SetUp, peer: Baseline
) -> tuple[float, float, paired.Interval]:
    """Our average precision on another corpus, the baseline's, and the interval of the difference over resamples."""
    _, version = train(settings, corpus, counts_of(settings, corpus, set_up), rows, seed=0)
    labels = corpus.labels[rows.test]
    scores = score(version, [corpus.texts[i] for i in rows.test.tolist()])
    drawn = paired.resample(labels, corpus.groups[rows.test], seed=0)
    better = paired.difference(paired.average_precision, peer.scores, scores, drawn)
    return average_precision(labels, scores), average_precision(labels, peer.scores), better


def baselines(corpus: Corpus, repeats: int) -> list[Baseline]:
    """The baseline on each split."""
    return [baseline(corpus, split(corpus, seed), seed) for seed in range(repeats)]


def measures(harm: str, set_up: str, results: Sequence[SplitResult]) -> list[Measure]:
    """The rows of one harm in one set-up."""
    name = f"{harm}, {set_up}"
    better = np.array([each.ours.ap - each.peer.ap for each in results])
    ece_p = min(1.0, 2 * float(np.median([each.ece_p for each in results])))
    rows = [
        Measure(f"{name}: average precision", _mean(results, "ours", "ap"), ""),
        Measure(f"{name}: average precision, half of its 95% interval", half_width(results, "ours"), ""),
        Measure(f"{name}: average precision, baseline", _mean(results, "peer", "ap"), ""),
        Measure(f"{name}: average precision, baseline, half of its 95% interval", half_width(results, "peer"), ""),
        at_least(f"{name}: AP ours − baseline", float(better.mean()), "", -MARGIN),
        Measure(f"{name}: AP ours − baseline, 95% lower bound", lower_bound(better), ""),
        Measure(f"{name}: macro-F1", _mean(results, "ours", "macro_f1"), ""),
        Measure(f"{name}: macro-F1, baseline", _mean(results, "peer", "macro_f1"), ""),
        Measure(f"{name}: Brier", _mean(results, "ours", "brier"), ""),
        Measure(f"{name}: Brier, baseline", _mean(results, "peer", "brier"), ""),
        at_least(f"{name}: calibration, 2 × median p", ece_p, "", 0.05),
    ]
    for tier in ("review", "auto"):
        offered = [each.tiers[tier] for each in results if tier in each.tiers]
        if offered:
            p = min(1.0, 2 * float(np.median(offered)))
            rows.append(at_least(f"{name}: {tier} tier reaches its precision, 2 × median p", p, "", 0.05))
            rows.append(Measure(f"{name}: {tier} tier is offered", len(offered), f"of {len(results)} splits"))
    return [*rows, Measure(f"{name}: fit", float(np.mean([each.seconds for each in results])), "s")]


def lower_bound(differences: Doubles) -> float:
    """One-sided 95% lower bound of the mean difference over repeated splits (Nadeau and Bengio 2003)."""
    from scipy.stats import t

    return float(differences.mean() - t.ppf(0.95, len(differences) - 1) * _error(differences))


def half_width(results: Sequence[SplitResult], side: str) -> float:
    """Half the width of the two-sided 95% interval of the mean average precision, likewise."""
    from scipy.stats import t

    values = np.array([getattr(each, side).ap for each in results])
    return float(t.ppf(0.975, len(values) - 1) * _error(values))


def _error(values: Doubles) -> float:
    return float(np.sqrt((1 / len(values) + TEST_SHARE / (1 - TEST_SHARE)) * values.var(ddof=1)))


def _figures(labels: Bools, scores: Doubles, threshold: float) -> Figures:
    return Figures(average_precision(labels, scores), macro_f1(labels, scores, threshold), _brier(scores, labels))


def _brier(scores: Doubles, labels: Bools) -> float:
    return float(np.mean((scores - labels) ** 2))


def _precision_p(
    fitted: Fit, learned: Bools, groups: Groups, tier: TierPolicy, scores: Doubles, labels: Bools
) -> float | None:
    """The chance of as few hits in a tier's test rows if its precision were the target; None if it isn't offered."""
    from scipy.stats import binom

    start, _ = tiers.lowest(fitted.scores, learned, groups, tier)
    if start is None:
        return None
    inside = scores >= start
    return float(binom.cdf((inside & labels).sum(), inside.sum(), tier.precision))


def _mean(results: Sequence[SplitResult], side: str, measure: str) -> float:
    return float(np.mean([getattr(getattr(each, side), measure) for each in results]))

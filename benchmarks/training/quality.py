"""Quality of the text harms beside the baseline, measured on the same rows by the very code that trains and serves."""

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
from training.build import draft
from training.data.split import folds
from training.fit import tiers
from training.fit.model import Fit, fit
from training.fit.text import TextCounts, count_texts
from training.report import paired
from training.report.evaluate import brier, ece_p_value

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

MARGIN = 0.01


class Figures(NamedTuple):
    """What one side reached on one split."""

    ap: float
    macro_f1: float
    brier: float


class Run(NamedTuple):
    """One split: ours beside the baseline; p of our calibration; p of each offered tier's precision; seconds to fit."""

    ours: Figures
    peer: Figures
    ece_p: float
    tiers: dict[str, float]
    seconds: float


class SetUp(NamedTuple):
    """How ours is trained: `default` by n-grams alone, `best` with the sentence encoder."""

    name: str
    encoder: CachedEncoder | None


def counts_of(corpus: Corpus, set_up: SetUp) -> TextCounts:
    """The corpus' texts counted, and encoded where the set-up wants it."""
    return count_texts(corpus.texts, set_up.encoder)


def train(settings: Settings, corpus: Corpus, counts: TextCounts, rows: Split, seed: int) -> tuple[Fit, ModelVersion]:
    """Fit on the split's learning rows; the platform's features are missing, as for raw text."""
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


def run(settings: Settings, policy: HarmPolicy, corpus: Corpus, counts: TextCounts, seed: int, peer: Baseline) -> Run:
    """One split's results."""
    rows = split(corpus, seed)
    labels = corpus.labels[rows.test]
    started = time.perf_counter()
    fitted, version = train(settings, corpus, counts, rows, seed)
    seconds = time.perf_counter() - started
    scores = score(version, [corpus.texts[i] for i in rows.test.tolist()])
    learned = corpus.labels[rows.learn]
    offered = {"review": policy.review} | ({"auto": policy.auto} if policy.auto else {})
    return Run(
        _figures(labels, scores, best_threshold(fitted.scores, learned)),
        _figures(labels, peer.scores, peer.threshold),
        ece_p_value(scores, labels, seed=seed),
        {name: p for name, tier in offered.items() if (p := _kept(fitted, learned, tier, scores, labels)) is not None},
        seconds,
    )


def across(
    settings: Settings, corpus: Corpus, rows: Split, set_up: SetUp, peer: Baseline
) -> tuple[float, float, paired.Interval]:
    """Average precision of ours and the baseline's on another corpus, and the difference over resamples of its rows."""
    _, version = train(settings, corpus, counts_of(corpus, set_up), rows, seed=0)
    labels = corpus.labels[rows.test]
    scores = score(version, [corpus.texts[i] for i in rows.test.tolist()])
    drawn = paired.resample(labels, corpus.groups[rows.test], seed=0)
    better = paired.difference(paired.average_precision, peer.scores, scores, drawn)
    return average_precision(labels, scores), average_precision(labels, peer.scores), better


def baselines(corpus: Corpus, repeats: int) -> list[Baseline]:
    """The baseline on each split."""
    return [baseline(corpus, split(corpus, seed), seed) for seed in range(repeats)]


def measures(harm: str, set_up: str, runs: Sequence[Run]) -> list[Measure]:
    """The rows of one harm and set-up."""
    name = f"{harm}, {set_up}"
    better = np.array([each.ours.ap - each.peer.ap for each in runs])
    p = min(1.0, 2 * float(np.median([each.ece_p for each in runs])))
    rows = [
        Measure(f"{name}: average precision", _mean(runs, "ours", "ap"), f"± {half_width(runs, 'ours'):.3f}"),
        Measure(f"{name}: average precision, baseline", _mean(runs, "peer", "ap"), f"± {half_width(runs, 'peer'):.3f}"),
        at_least(f"{name}: AP ours − baseline", float(better.mean()), "", -MARGIN),
        Measure(f"{name}: AP ours − baseline, 95% lower bound", lower_bound(better), ""),
        Measure(f"{name}: macro-F1", _mean(runs, "ours", "macro_f1"), ""),
        Measure(f"{name}: macro-F1, baseline", _mean(runs, "peer", "macro_f1"), ""),
        Measure(f"{name}: Brier", _mean(runs, "ours", "brier"), ""),
        Measure(f"{name}: Brier, baseline", _mean(runs, "peer", "brier"), ""),
        at_least(f"{name}: calibration, 2 × median p", p, "", 0.05),
    ]
    for tier in ("review", "auto"):
        kept = [each.tiers[tier] for each in runs if tier in each.tiers]
        if kept:
            what = f"{name}: {tier} holds its precision, 2 × median p ({len(kept)} of {len(runs)} offer it)"
            rows.append(at_least(what, min(1.0, 2 * float(np.median(kept))), "", 0.05))
    return [*rows, Measure(f"{name}: fit", float(np.mean([each.seconds for each in runs])), "s")]


def lower_bound(differences: Doubles) -> float:
    """One-sided 95% lower bound of the mean difference over repeated splits (Nadeau and Bengio 2003)."""
    from scipy.stats import t

    return float(differences.mean() - t.ppf(0.95, len(differences) - 1) * _error(differences))


def half_width(runs: Sequence[Run], side: str) -> float:
    """Of the two-sided 95% interval of the mean average precision, likewise."""
    from scipy.stats import t

    values = np.array([getattr(each, side).ap for each in runs])
    return float(t.ppf(0.975, len(values) - 1) * _error(values))


def _error(values: Doubles) -> float:
    return float(np.sqrt((1 / len(values) + TEST_SHARE / (1 - TEST_SHARE)) * values.var(ddof=1)))


def _figures(labels: Bools, scores: Doubles, threshold: float) -> Figures:
    return Figures(average_precision(labels, scores), macro_f1(labels, scores, threshold), brier(scores, labels))


def _kept(fitted: Fit, learned: Bools, tier: TierPolicy, scores: Doubles, labels: Bools) -> float | None:
    """Chance of so few hits among the test rows of a tier, had it its target precision; None if it isn't offered."""
    from scipy.stats import binom

    start, _ = tiers.lowest(fitted.scores, learned, tier)
    if start is None:
        return None
    inside = scores >= start
    return float(binom.cdf((inside & labels).sum(), inside.sum(), tier.precision))


def _mean(runs: Sequence[Run], side: str, measure: str) -> float:
    return float(np.mean([getattr(getattr(each, side), measure) for each in runs]))

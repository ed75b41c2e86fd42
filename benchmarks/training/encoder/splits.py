"""The stack with a fine-tuned encoder on the pinned splits: next to the baseline, and to the stack with MiniLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.report import Measure, at_least, at_most, say
from benchmarks.training import quality, texts
from benchmarks.training.encoder.made import Encoders, FineTuned, Rows
from benchmarks.training.quality import SetUp, SplitResult
from benchmarks.training.texts import Baseline, Corpus
from features.declared.builtin import BUILTIN
from leads.policies import load_policies
from leads.settings import Settings
from models.text.sentence import CachedEncoder
from training.behaviour import run as behaviour
from training.report import paired

Doubles = npt.NDArray[np.float64]

TUNED, PRESENT = "fine-tuned", "MiniLM"
_GAIN, _LOWER = 0.08, 0.06
_PRECISION_LOSS = 0.002
# Cases of identity_hate with bars of their own: how many of their checks must pass.
_CASES = {"neutral_identities": 4, "negation": 6}
_MINUTES = 60


class OnSplit(NamedTuple):
    """What one split gave, by harm."""

    tuned: dict[str, SplitResult]
    present: dict[str, SplitResult]
    peers: dict[str, Baseline]
    made: FineTuned


def on_split(
    settings: Settings,
    harms: Sequence[Corpus],
    encoders: Encoders,
    minilm: CachedEncoder,
    seed: int,
    *,
    whole: bool,
) -> OnSplit:
    """Fine-tune on the split's training rows of all harms, then fit and test every harm in both set-ups.

    Args:
        whole: whether harms are fitted at all.
    """
    splits = {corpus.harm: texts.split(corpus, seed) for corpus in harms}
    made = encoders.tuned(
        f"split-{seed}",
        {corpus.harm: Rows(corpus, splits[corpus.harm].learn) for corpus in harms},
        {corpus.harm: Rows(corpus, splits[corpus.harm].test) for corpus in harms},
    )
    policies = load_policies(settings.policies).harms
    found = OnSplit({}, {}, {}, made)
    for corpus in harms if whole else ():
        say(f"split {seed}: {corpus.harm}")
        peer = found.peers[corpus.harm] = texts.baseline(corpus, splits[corpus.harm], seed)
        for results, set_up in ((found.tuned, SetUp(TUNED, made.encoder)), (found.present, SetUp(PRESENT, minilm))):
            counts = quality.counts_of(settings, corpus, set_up)
            results[corpus.harm] = quality.on_split(settings, policies[corpus.harm], corpus, counts, seed, peer)
    return found


def measures(settings: Settings, harms: Sequence[Corpus], splits: Sequence[OnSplit]) -> list[Measure]:
    """All rows of the splits."""
    rows: list[Measure] = []
    for corpus in harms:
        tuned, present = ([getattr(one, side)[corpus.harm] for one in splits] for side in ("tuned", "present"))
        # The interval over splits needs three of them; that over rows follows for the mean.
        rows += [row for row in quality.measures(corpus.harm, TUNED, tuned) if len(splits) > 2 or "95%" not in row.name]
        rows.append(Measure(f"{corpus.harm}, {PRESENT}: average precision", _mean(present), ""))
        name = f"{corpus.harm}: AP {TUNED} − {PRESENT}"
        rows.append(at_least(name, _mean(tuned) - _mean(present), "", 0))
    rows += [*_pooled(harms, splits), *_precision(splits), *_behaviour(settings, splits[0])]
    return [
        *rows,
        at_most("fine-tuning with cross-fitting", max(one.made.seconds for one in splits) / 60, "min", _MINUTES),
    ]


def _pooled(harms: Sequence[Corpus], splits: Sequence[OnSplit]) -> list[Measure]:
    """The mean over harms and splits, and a lower bound: the mean over the splits of the 5% quantile over resamples.

    The rows of a split are drawn with replacement, equal texts together and the same for all harms. Averaging the
    splits' bounds takes them for one sample, so nothing is gained from rows that are in both.
    """
    found: dict[str, list[tuple[float, float]]] = {"baseline": [], PRESENT: []}
    for seed, split in enumerate(splits):
        tests = {corpus.harm: texts.split(corpus, seed).test for corpus in harms}
        labels = np.concatenate([corpus.labels[tests[corpus.harm]] for corpus in harms])
        groups = np.concatenate([corpus.groups[tests[corpus.harm]] for corpus in harms])
        drawn = paired.resample(labels, groups, seed=seed).counts
        whole = np.ones((1, len(labels)), np.int32)
        for against, theirs in (("baseline", split.peers), (PRESENT, split.present)):
            each: list[tuple[Doubles, Doubles]] = []
            start = 0
            for corpus in harms:
                rows = slice(start, start := start + len(tests[corpus.harm]))
                pair = split.tuned[corpus.harm].scores, theirs[corpus.harm].scores
                each.append(tuple(_difference(*pair, labels[rows], counts[:, rows]) for counts in (whole, drawn)))  # type: ignore[arg-type]
            over = np.mean([one for _, one in each], axis=0)
            found[against].append((float(np.mean([one for one, _ in each])), float(np.quantile(over, 0.05))))
    means = {against: np.mean(values, axis=0).tolist() for against, values in found.items()}
    return [
        at_least("pooled: AP fine-tuned − baseline", means["baseline"][0], "", _GAIN),
        at_least("pooled: AP fine-tuned − baseline, 95% lower bound", means["baseline"][1], "", _LOWER),
        Measure(f"pooled: AP fine-tuned − {PRESENT}", means[PRESENT][0], ""),
        Measure(f"pooled: AP fine-tuned − {PRESENT}, 95% lower bound", means[PRESENT][1], ""),
    ]


def _difference(ours: Doubles, theirs: Doubles, labels: quality.Bools, counts: paired.Counts) -> Doubles:
    of = paired.average_precision
    return of(ours, labels, counts) - of(theirs, labels, counts)


def _precision(splits: Sequence[OnSplit]) -> list[Measure]:
    """What weights of 8 bits cost, on the test rows."""
    lost: dict[str, list[float]] = {}
    for split in splits:
        for harm, one in split.made.metrics.harms.items():
            if one.ap_full is not None and one.ap_held_out is not None:
                lost.setdefault(harm, []).append(one.ap_full - one.ap_held_out)
    means = {harm: float(np.mean(values)) for harm, values in lost.items()}
    rows = [Measure(f"{harm}: AP lost by weights of 8 bits", value, "") for harm, value in means.items()]
    return [
        *rows,
        at_most(
            "AP lost by weights of 8 bits, mean over harms", float(np.mean(list(means.values()))), "", _PRECISION_LOSS
        ),
    ]


def _behaviour(settings: Settings, split: OnSplit) -> list[Measure]:
    """How many checks of the behaviour suites pass, next to the stack with MiniLM."""
    rows: list[Measure] = []
    totals: dict[str, list[int]] = {}
    for harm in split.tuned:
        suite = behaviour.suite_for(settings, harm)
        if suite is None:
            continue
        tuned, present = (behaviour.run(side[harm].version, suite, BUILTIN) for side in (split.tuned, split.present))
        for ours, theirs in zip(tuned.kinds, present.kinds, strict=True):
            name = f"{harm}: {ours.kind} checks that pass, of {ours.checks}"
            rows.append(at_least(name, ours.passed, "checks", theirs.passed))
            counts = (ours.checks, ours.passed, theirs.passed)
            totals[ours.kind] = [sum(pair) for pair in zip(totals.get(ours.kind, (0, 0, 0)), counts, strict=True)]
        if harm == "identity_hate":
            cases = {case.name: case for case in tuned.cases}
            rows += [
                at_least(f"{harm}: {name}, of {cases[name].checks}", cases[name].passed, "checks", least)
                for name, least in _CASES.items()
            ]
    return [
        *rows,
        *(
            at_least(f"all harms: {kind} checks that pass, of {checks}", passed, "checks", before)
            for kind, (checks, passed, before) in totals.items()
        ),
    ]


def _mean(results: Sequence[SplitResult]) -> float:
    return float(np.mean([one.ours.ap for one in results]))

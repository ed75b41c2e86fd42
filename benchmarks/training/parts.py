"""The parts that need the corpora: quality by harm, the mean over the harms, and from one corpus to another."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.report import Measure, Report, at_least, say
from benchmarks.timing import timed
from benchmarks.training import quality, texts
from benchmarks.training.quality import SetUp, SplitResult
from benchmarks.training.texts import Baseline, Corpus
from leads.errors import ConfigurationError, Unavailable
from leads.policies import load_policies
from leads.settings import Settings
from models.text.sentence import open_encoder, place_of

_TIMED_TEXTS = 400


def text_quality(report: Report, settings: Settings, harms: Sequence[Corpus], repeats: int) -> None:
    """Every text harm, in every set-up, next to the baseline; then the mean over the harms, and speed."""
    peers = {}
    for corpus in harms:
        say(f"baseline: {corpus.harm}, {len(corpus.texts):,} texts, {repeats} splits")
        found = report.attempt(f"{corpus.harm}: baseline", lambda corpus=corpus: quality.baselines(corpus, repeats))  # type: ignore[misc]
        if found:
            peers[corpus.harm] = found
    for set_up in set_ups(settings):
        by_harm = {}
        for corpus in harms:
            results = _results(report, settings, corpus, set_up, peers.get(corpus.harm))
            if results:
                by_harm[corpus.harm] = results
        whole = len(by_harm) == len(harms)
        report.part(f"pooled, {set_up.name}", lambda by=by_harm, s=set_up, w=whole: pooled(s.name, by, whole=w))  # type: ignore[misc]
        report.part(f"{set_up.name}: new texts scored", lambda set_up=set_up: speed(settings, harms[0], set_up))  # type: ignore[misc]


def set_ups(settings: Settings) -> list[SetUp]:
    """`default`, and `best` when its encoder is installed."""
    found = [SetUp("default", None)]
    try:
        found.append(SetUp("best", open_encoder(place_of(settings))))
    except ConfigurationError as error:
        say(f"The set-up with the sentence encoder isn't measured. {error}")
    return found


def pooled(set_up: str, by_harm: Mapping[str, Sequence[SplitResult]], *, whole: bool) -> list[Measure]:
    """The mean over the harms, split by split.

    Args:
        whole: whether every harm was measured.

    Raises:
        Unavailable: one wasn't, so the mean would be over other harms than usual.
    """
    if not whole:
        raise Unavailable("A harm is missing, so there is no mean over all of them.")
    better = np.array([[one.ours.ap - one.peer.ap for one in results] for results in by_harm.values()]).mean(axis=0)
    bar = 0.03 if set_up == "best" else 0.0
    return [
        at_least(f"pooled, {set_up}: AP ours − baseline", float(better.mean()), "", bar),
        at_least(f"pooled, {set_up}: AP ours − baseline, 95% lower bound", quality.lower_bound(better), "", 0.0),
    ]


def speed(settings: Settings, corpus: Corpus, set_up: SetUp) -> list[Measure]:
    """How fast one process scores new texts, none of which is in the cache of sentence vectors."""
    counts, rows = quality.counts_of(settings, corpus, set_up), texts.split(corpus, 0)
    _, version = quality.train(settings, corpus, counts, rows, 0)
    # The time makes them new: an earlier run left the vectors of its own texts.
    new_texts = [f"{text} {time.time_ns()} {i}" for i, text in enumerate(corpus.texts[:_TIMED_TEXTS])]
    seconds = timed(lambda: quality.score(version, new_texts))
    return [Measure(f"{set_up.name}: new texts scored", len(new_texts) / seconds, "texts/s")]


def across_corpora(report: Report, settings: Settings) -> None:
    """Trained on one corpus, tested on another."""
    by_set_up: dict[str, list[float]] = {}
    pairs = texts.cross_pairs(settings)
    for learned, tested in pairs:
        name = f"{learned} → {tested}"
        say(f"across corpora: {name}")
        report.part(name, lambda a=learned, b=tested: _across(settings, a, b, by_set_up))  # type: ignore[misc]
    for name, differences in by_set_up.items():
        if len(differences) == len(pairs):
            mean = float(np.mean(differences))
            report.add([at_least(f"across corpora, {name}: mean AP ours − baseline", mean, "", 0)])
        else:
            report.fail(f"across corpora, {name}", "A pair of corpora failed, so there is no mean over all of them.")


def _results(
    report: Report, settings: Settings, corpus: Corpus, set_up: SetUp, peers: Sequence[Baseline] | None
) -> list[SplitResult] | None:
    """One harm in one set-up: its rows are added to the report."""
    name = f"{corpus.harm}, {set_up.name}"
    if peers is None:
        report.fail(name, "The baseline failed.")
        return None
    say(f"{set_up.name}: {corpus.harm}")
    policy = load_policies(settings.policies).harms[corpus.harm]

    def work() -> list[SplitResult]:
        counts = quality.counts_of(settings, corpus, set_up)
        found = [quality.on_split(settings, policy, corpus, counts, seed, peer) for seed, peer in enumerate(peers)]
        report.add(quality.measures(corpus.harm, set_up.name, found))
        return found

    return report.attempt(name, work)


def _across(settings: Settings, learned: str, tested: str, by_set_up: dict[str, list[float]]) -> list[Measure]:
    corpus, rows = texts.across(*(texts.read(settings, key, [key]) for key in (learned, tested)))
    peer = texts.baseline(corpus, rows, 0)
    measures = []
    for set_up in set_ups(settings):
        ap, peer_ap, better = quality.across(settings, corpus, rows, set_up, peer)
        name = f"{corpus.harm}, {set_up.name}"
        measures += [
            Measure(f"{name}: average precision", ap, ""),
            Measure(f"{name}: average precision, baseline", peer_ap, ""),
            Measure(f"{name}: AP ours − baseline", ap - peer_ap, ""),
            Measure(f"{name}: AP ours − baseline, lower end of its 95% interval", better.low, ""),
            Measure(f"{name}: AP ours − baseline, upper end of its 95% interval", better.high, ""),
        ]
        by_set_up.setdefault(set_up.name, []).append(ap - peer_ap)
    return measures

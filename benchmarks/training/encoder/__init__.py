"""Measures the encoder that is fine-tuned on all harms: quality, behaviour, time, speed, cost in the service."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.report import Report, say
from benchmarks.training import texts
from benchmarks.training.encoder import across, resumed, served, speed, splits
from benchmarks.training.encoder.made import Encoders
from benchmarks.training.texts import Corpus
from leads.settings import Settings
from models.text.sentence import open_encoder, place_of
from training.encoder.config import TuneConfig

SPLITS = 2
PARTS = ("splits", "across", "killed", "speed", "served")
# With --quick, one text in so many is used, and each is seen once.
_QUICK_SHARE = 8


def measured(
    report: Report, settings: Settings, only: Sequence[str], *, repeats: int, keep: Path | None, quick: bool
) -> None:
    """Measure the parts.

    Args:
        repeats: the number of splits.
        keep: the folder of the encoders; None: a temporary one.
        quick: only to see that all of it works: few texts, one split.
    """
    harms = report.attempt("corpora", lambda: texts.text_harms(settings))
    if not harms:
        say("No corpora were found, so the encoder isn't measured. Set LEADS_CORPORA to the folder that holds them.")
        return
    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        encoders = Encoders(settings, folder, TuneConfig(epochs=1) if quick else TuneConfig())
        harms = [_some(corpus) for corpus in harms] if quick else harms
        lines = [text for corpus in harms for text in corpus.texts]
        done: list[splits.OnSplit] = []
        if {"splits", "speed", "served"} & set(only):
            minilm = open_encoder(place_of(settings))
            for seed in range(1 if quick or "splits" not in only else repeats):
                work = partial(splits.on_split, settings, harms, encoders, minilm, seed, whole="splits" in only)
                found = report.attempt(f"split {seed}", work)
                done += [found] if found else []
        if "splits" in only and done:
            report.part("splits", lambda: splits.measures(settings, harms, done))
        if "across" in only and not quick:
            report.part("across corpora", lambda: across.across(settings, encoders))
        if "killed" in only:
            report.part("killed", lambda: resumed.killed(lines))
        if "speed" in only and done:
            report.part("speed", lambda: speed.speed(settings, done[0].made.encoder, lines))
        if "served" in only and done:
            report.part("served", lambda: served.served(done[0].made.encoder, lines))


def _some(corpus: Corpus) -> Corpus:
    """One text in some of a harm's, chosen by hash, so that the harms share texts as before."""
    chosen = np.flatnonzero(corpus.groups % np.uint64(_QUICK_SHARE) == 0)
    return Corpus(corpus.harm, [corpus.texts[i] for i in chosen.tolist()], corpus.labels[chosen], corpus.groups[chosen])

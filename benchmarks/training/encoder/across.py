"""From corpora to another one that the encoder hasn't seen either."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.report import Measure, at_least, say
from benchmarks.training import quality, texts
from benchmarks.training.encoder.made import Encoders, FineTuned, everything, without
from benchmarks.training.quality import SetUp
from leads.policies import load_policies
from leads.settings import Settings

_GAIN = 0.08
# The corpora that are kept from an encoder, each with the pairs that are tested on them.
KEPT_APART = (("edos", "convabuse"), ("cad",))


def across(settings: Settings, encoders: Encoders) -> list[Measure]:
    """Every pair of corpora.

    The encoder is fine-tuned on all corpora but those that are tested, as on a platform that brings new texts. The
    baseline, like our model on top of the encoder, is trained on the first corpus of the pair.
    """
    rows: list[Measure] = []
    better: list[float] = []
    for kept_apart in KEPT_APART:
        encoder = _encoder(settings, encoders, kept_apart).encoder
        for learned, tested in texts.cross_pairs(settings):
            if _corpus(tested) not in kept_apart:
                continue
            say(f"across corpora: {learned} → {tested}")
            corpus, split = texts.across(*(texts.read(settings, key, [key]) for key in (learned, tested)))
            peer = texts.baseline(corpus, split, 0)
            ap, peer_ap, gain = quality.across(settings, corpus, split, SetUp("fine-tuned", encoder), peer)
            name = f"{corpus.harm}, fine-tuned"
            rows += [
                Measure(f"{name}: average precision", ap, ""),
                Measure(f"{name}: average precision, baseline", peer_ap, ""),
                Measure(f"{name}: AP ours − baseline, lower end of its 95% interval", gain.low, ""),
                Measure(f"{name}: AP ours − baseline, upper end of its 95% interval", gain.high, ""),
            ]
            better.append(ap - peer_ap)
    return [*rows, at_least("across corpora, fine-tuned: mean AP ours − baseline", float(np.mean(better)), "", _GAIN)]


def _encoder(settings: Settings, encoders: Encoders, kept_apart: Sequence[str]) -> FineTuned:
    """One that is fine-tuned on all harms' corpora but these."""
    learn, test = {}, {}
    for harm, policy in load_policies(settings.policies).harms.items():
        apart, together = (
            [key for key in policy.corpora if (_corpus(key) in kept_apart) == side] for side in (True, False)
        )
        if apart:
            test[harm] = everything(texts.read(settings, harm, apart))
        if together:
            learn[harm] = texts.read(settings, harm, together)
    groups = np.concatenate([one.corpus.groups for one in test.values()])
    kept = {harm: without(corpus, groups) for harm, corpus in learn.items()}
    return encoders.tuned("without-" + "-".join(kept_apart), kept, test)


def _corpus(key: str) -> str:
    return key.partition(":")[0]

"""How fast encoders are, on the same texts in the same run, and how exact."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.report import Measure, at_least, at_most, say
from benchmarks.timing import median_ratio, timed
from leads.settings import Settings
from leads.text import plain_form
from models.text.minilm import MiniLM
from models.text.ngrams import MAX_CHARS
from models.text.sentence import CachedEncoder, SentenceEncoder, installed
from models.text.tuned import TunedEncoder

_TEXTS, _ROUNDS, _ALONE = 400, 5, 200
_TIMES, _MS, _EXACT = 2.5, 8, 1e-4


def speed(settings: Settings, tuned: CachedEncoder, texts: Sequence[str]) -> list[Measure]:
    """Texts per second of both encoders by one process, and the time of one text; nothing comes from a cache."""
    assert tuned.folder is not None
    say("speed of both encoders")
    plain = [plain_form(text, MAX_CHARS) for text in texts]
    some = plain[:: max(1, len(plain) // _TEXTS)][:_TEXTS]
    ours, theirs = TunedEncoder(tuned.folder), MiniLM(settings.encoder_dir or installed())
    fast, slow = [], []
    for _ in range(_ROUNDS):
        slow.append(_seconds(theirs, some))
        fast.append(_seconds(ours, some))
    one_by_one = np.concatenate([ours.encode([text]) for text in some[:_ALONE]])
    together = ours.encode(some[:_ALONE])
    largest = float(np.abs(one_by_one - together).max())
    alone = [timed(lambda text=text: ours.encode([text])) for text in some[:_ALONE]]  # type: ignore[misc]
    return [
        Measure("MiniLM by NumPy", len(some) / statistics.median(slow), "texts/s"),
        Measure("fine-tuned by ONNX Runtime", len(some) / statistics.median(fast), "texts/s"),
        at_least("fine-tuned: times the texts/s of MiniLM", median_ratio(slow, fast), "times", _TIMES),
        at_most("fine-tuned: one unseen text, p50", statistics.median(alone) * 1_000, "ms", _MS),
        at_most("fine-tuned: largest difference of an output alone and among others", largest, "", _EXACT),
    ]


def _seconds(encoder: SentenceEncoder, texts: Sequence[str]) -> float:
    began = time.perf_counter()
    encoder.encode(texts)
    return time.perf_counter() - began

"""Encoders that are fine-tuned on the training rows of a split, by the code that `leads encoder train` runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks.report import say
from benchmarks.training.texts import Corpus, Ints
from leads.settings import Settings
from models.text.encoder_files import METRICS
from models.text.sentence import CachedEncoder, installed
from models.text.tuned import TunedEncoder
from training.config import SEED, load_config
from training.data.labelled_rows import CORPUS, LabelledRow
from training.encoder.augment import augmented
from training.encoder.config import TuneConfig
from training.encoder.examples import HarmRows, examples_of
from training.encoder.making import Making, Start
from training.encoder.measure import EncoderMetrics

_FINGERPRINT, _SECONDS = "fingerprint.txt", "seconds.json"


class Rows(NamedTuple):
    """Some of a harm's rows."""

    corpus: Corpus
    chosen: Ints


class FineTuned(NamedTuple):
    """A fine-tuned encoder.

    Args:
        metrics: that it was registered with, if it had been registered.
        seconds: that making it took, cross-fitting included; added up if it took several runs.
    """

    encoder: CachedEncoder
    metrics: EncoderMetrics
    seconds: float


@dataclass
class Encoders:
    """Makes encoders, each once: they are kept in a folder, also what is half done.

    Args:
        folder: keeps them.
        config: the recipe.
    """

    settings: Settings
    folder: Path
    config: TuneConfig

    def tuned(self, name: str, learn: Mapping[str, Rows], test: Mapping[str, Rows]) -> FineTuned:
        """An encoder that is fine-tuned on some rows of each harm and measured on others.

        Texts that are among the test rows of any harm aren't learned for any harm.
        """
        left_out = np.unique(np.concatenate([one.corpus.groups[one.chosen] for one in test.values()]))
        learned = examples_of(_by_harm(learn), left_out, seed=SEED)
        held_out = examples_of(_by_harm(test), np.empty(0, np.uint64), seed=SEED)
        if self.config.augment:
            about_groups = [harm for harm in learn if load_config(self.settings, harm).about_groups]
            learned = augmented(learned, about_groups, seed=SEED)
        start = Start.read(self.settings.encoder_dir or installed())
        making = Making(learned, held_out, self.config, start, _Watch(self.folder / name))
        return self._made(self.folder / name, making)

    def _made(self, folder: Path, making: Making) -> FineTuned:
        made, known = folder / "encoder", folder / _FINGERPRINT
        if not (known.is_file() and known.read_text() == making.fingerprint):
            own = int(making.learned.own.sum())
            say(f"fine-tuning on {own:,} texts and {len(making.learned.texts) - own:,} added ones")
            made.mkdir(parents=True, exist_ok=True)
            for left in made.iterdir():
                left.unlink()
            making.make(made, folder / "work" / making.fingerprint[:16])
            known.write_text(making.fingerprint)
        metrics = msgspec.json.decode((made / METRICS).read_bytes(), type=EncoderMetrics)
        return FineTuned(CachedEncoder(TunedEncoder(made)), metrics, _Watch(folder).seconds)


class _Watch:
    """Says what is done, and adds up how long it takes, over several runs."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _SECONDS
        self.seconds: float = json.loads(self._file.read_text()) if self._file.is_file() else 0.0
        self._last = time.monotonic()
        self._said = 0.0

    def __call__(self, what: str) -> None:
        now = time.monotonic()
        self.seconds, self._last = self.seconds + now - self._last, now
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self.seconds))
        if now - self._said > 30 or not what.startswith("step"):
            say(f"  {self.seconds / 60:5.1f} min  {what}")
            self._said = now


def _by_harm(rows: Mapping[str, Rows]) -> dict[str, HarmRows]:
    return {harm: HarmRows(_labelled(one), one.corpus.groups[one.chosen]) for harm, one in rows.items()}


def _labelled(rows: Rows) -> Sequence[LabelledRow]:
    corpus = rows.corpus
    return [
        LabelledRow(corpus.texts[i], bool(corpus.labels[i]), f"{CORPUS}{corpus.harm}", None, int(corpus.groups[i]))
        for i in rows.chosen.tolist()
    ]


def everything(corpus: Corpus) -> Rows:
    """All rows."""
    return Rows(corpus, np.arange(len(corpus.texts)))


def without(corpus: Corpus, groups: npt.NDArray[np.uint64]) -> Rows:
    """The rows whose texts aren't among these groups."""
    return Rows(corpus, np.flatnonzero(~np.isin(corpus.groups, groups)))

"""Makes the folder of an encoder from examples: fine-tunes its networks, exports the last one, and measures it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from leads import clock
from leads.errors import ConfigurationError
from leads.files import private_folder
from models.registry.versions import Curve
from models.text import encoder_files as files
from models.text.encoder_files import About, Learned
from models.text.minilm import TOKENIZER, WEIGHTS, no_minilm, read_safetensors
from models.text.spelling import RepairedTokens
from models.text.tuned import TunedEncoder
from training.config import SEED
from training.encoder import card
from training.encoder.config import TuneConfig
from training.encoder.examples import HALVES, Examples
from training.encoder.measure import EncoderMetrics, measure

Floats = npt.NDArray[np.float32]

# Raise it when equal labels and settings must give a different encoder.
RECIPE = 3
STEPS = (*HALF, WHOLE, EXPORT) = (
    "fine-tuning on the first half of the texts",
    "fine-tuning on the second half of the texts",
    "fine-tuning on all texts",
    "exporting and measuring",
)
# The networks, and what the curves of their losses are called.
_CURVES = {"half-0": "first half", "half-1": "second half", "whole": "all texts"}


@dataclass(frozen=True)
class Start:
    """The encoder to start from: its name, weights and tokenizer."""

    name: str
    weights: dict[str, Floats]
    tokenizer: bytes

    @staticmethod
    def read(folder: Path) -> Start:
        """Read it. Raises ConfigurationError if the folder doesn't hold one."""
        try:
            raw, tokenizer = (folder / WEIGHTS).read_bytes(), (folder / TOKENIZER).read_bytes()
            weights = read_safetensors(raw)
        except (OSError, ValueError, KeyError) as error:
            raise no_minilm(folder, error) from error
        return Start(f"minilm-{hashlib.sha256(raw + tokenizer).hexdigest()[:12]}", weights, tokenizer)

    def tokens(self, texts: list[str], max_tokens: int) -> list[list[int]]:
        """The tokens of texts in plain form."""
        return RepairedTokens(self.tokenizer, max_tokens).of(texts)


@dataclass(frozen=True)
class Made:
    """An encoder whose folder is complete.

    Args:
        about: what it says about itself.
        card: in Markdown.
        losses: of each of the three networks by step, by the name of the curve.
    """

    about: About
    metrics: EncoderMetrics
    card: str
    losses: Mapping[str, Curve]


@dataclass(frozen=True)
class Making:
    """An encoder to be made.

    Args:
        learned: to fine-tune on.
        held_out: to measure on; none of their texts is among `learned`.
    """

    learned: Examples
    held_out: Examples
    config: TuneConfig
    start: Start
    tell: Callable[[str], None]

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of what the encoder depends on."""
        recipe = {
            "recipe": RECIPE,
            "seed": SEED,
            "config": self.config.model_dump(),
            "base": self.start.name,
            "data": self.learned.hash,
        }
        return hashlib.sha256(msgspec.json.encode(recipe, order="sorted")).hexdigest()

    def make(self, folder: Path, work: Path) -> Made:
        """Make it.

        Args:
            folder: an empty one, for the encoder.
            work: keeps what is done. A run that was killed goes on from there.
        """
        from training.encoder.tuning import Tuning

        private_folder(work)
        learned, own = self.learned, self.learned.own
        tokens = self.start.tokens(learned.texts, self.config.max_tokens)
        tuning = Tuning(work, self.start.weights, learned, tokens, self.config, self.fingerprint, self.tell)
        outputs = np.empty(learned.labels.shape, np.float32)
        for half in range(HALVES):
            self.tell(HALF[half])
            chosen = learned.halves == half
            outputs[~chosen] = tuning.outputs(f"half-{half}", chosen, ~chosen)
        self.tell(WHOLE)
        everything = np.ones(len(learned.texts), np.bool_)
        tuning.network("whole", everything)
        self.tell(EXPORT)
        held_out = self.start.tokens(self.held_out.texts, self.config.max_tokens)
        network, full = tuning.exported("whole", everything, held_out)
        encoder = self._write(folder, network, outputs)
        metrics = measure(encoder, self.held_out, learned.only(own), outputs[own], full)
        described = card.write(encoder.about, learned, metrics, self.config)
        as_json = msgspec.json.format(msgspec.json.encode(metrics), indent=2)
        about = files.write_files(folder, encoder.about, {files.METRICS: as_json, files.CARD: described.encode()})
        losses = {f"fit/loss by step: {what}": tuning.losses(name) for name, what in _CURVES.items()}
        return Made(about, metrics, described, losses)

    def _write(self, folder: Path, network: bytes, outputs: Floats) -> TunedEncoder:
        """Write the encoder's folder, with golden outputs that it reproduces."""
        learned, own = self.learned, self.learned.own
        about = About(
            id=files.encoder_id(network, self.start.tokenizer),
            base=self.start.name,
            harms=learned.harms,
            precision=self.config.precision,
            max_tokens=self.config.max_tokens,
            created_at=clock.now(),
            data_hash=learned.hash,
            files={},
        )
        table = Learned(learned.hashes[own], outputs[own])
        written = {files.NETWORK: network, files.TOKENIZER: self.start.tokenizer, files.LEARNED: table.to_bytes()}
        about = files.write_files(folder, about, written)
        files.write_files(folder, about, {files.GOLDEN: msgspec.json.encode(TunedEncoder(folder).golden())})
        encoder = TunedEncoder(folder)
        encoder.verify()
        return encoder


def check_installed() -> None:
    """Raise ConfigurationError if a package that fine-tuning needs isn't installed."""
    for package in ("torch", "safetensors", "onnx", "onnxruntime", "tokenizers"):
        try:
            __import__(package)
        except ImportError as error:
            raise ConfigurationError(
                f"Fine-tuning needs the package `{package}`, which isn't installed.",
                field="LEADS_ENCODER",
                remedy="Run: make encoder-training. Serving doesn't need PyTorch.",
            ) from error

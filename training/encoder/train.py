"""`leads encoder train`: fine-tune an encoder on the labels of all harms, measure it, and register it.

Three networks are fine-tuned from the same start. The last one, on all texts, is the encoder. The first two are
fine-tuned on half of the texts each and give the outputs for the other half: a harm's model is fitted on these, so that
it learns how far the encoder can be trusted on texts that it has never seen. That doubles the time.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from leads import clock
from leads.clock import Micros
from leads.db.engine import open_engine
from leads.errors import ConfigurationError, Conflict, LeadsError
from leads.files import private_folder
from leads.policies import Policies
from leads.settings import Settings
from models.registry.encoders import EncoderRegistry, RegisteredEncoder
from models.registry.versions import DATA_HASH, FINGERPRINT, RunRecord
from models.text import encoder_files as files
from models.text.encoder_files import About, Learned
from models.text.minilm import TOKENIZER, WEIGHTS, no_minilm, read_safetensors, read_tokenizer
from models.text.sentence import installed
from models.text.tuned import TunedEncoder
from training.config import SEED
from training.encoder import card
from training.encoder.augment import augmented
from training.encoder.config import TuneConfig, load_tune_config
from training.encoder.examples import HALVES, Examples
from training.encoder.gathering import gather_examples
from training.encoder.measure import EncoderMetrics, measure
from training.origin import mlflow_tags, origin
from training.progress import OnProgress, reporter
from training.workspace import failure, training_lock

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# Raise it when equal labels and settings must give a different encoder.
RECIPE = 1
STEPS = (GATHER, *HALF, WHOLE, EXPORT, REGISTER) = (
    "gathering the labels of all harms",
    "fine-tuning on the first half of the texts",
    "fine-tuning on the second half of the texts",
    "fine-tuning on all texts",
    "exporting and measuring",
    "registering",
)


@dataclass(frozen=True)
class EncoderResult:
    """The outcome of a training.

    Args:
        encoder: as registered.
        reused: an encoder made from equal labels and settings existed, so nothing was fine-tuned.
        metrics: None if it was reused.
        skipped: the harms without enough labels, and why.
        seconds: how long the call took.
    """

    encoder: RegisteredEncoder
    reused: bool
    metrics: EncoderMetrics | None
    skipped: dict[str, str]
    seconds: float


def train_encoder(
    settings: Settings,
    policies: Policies,
    *,
    config: TuneConfig | None = None,
    promote: bool = False,
    on_progress: OnProgress | None = None,
) -> EncoderResult:
    """Fine-tune an encoder, register it, and promote it if it is the first one, or if `promote`.

    It may be killed at any moment: the next call goes on from its last checkpoint, at most a minute earlier.

    Raises:
        ConfigurationError: what fine-tuning needs isn't installed, or the configuration is invalid.
        NotEnoughData: no harm has enough labels.
        Conflict: another process is training.
        Unavailable: the database or MLflow can't be reached.
    """
    _check_installed()
    began, started, config = clock.now(), time.monotonic(), config or load_tune_config(settings)
    tell = reporter(STEPS, on_progress)
    engine = open_engine(settings)
    try:
        with training_lock(settings):
            tell(GATHER)
            gathered = gather_examples(settings, engine, policies, tell)
            learned = gathered.learned
            if config.augment:
                learned = augmented(learned, gathered.about_groups, seed=SEED)
            start = _Start.read(settings.encoder_dir or installed())
            made = _Made(settings, EncoderRegistry(settings), gathered.held_out, learned, config, start, tell)
            known = made.registry.list()
            same = next((one for one in known if one.tags.get(FINGERPRINT) == made.fingerprint), None)
            metrics, number = (None, same.version) if same else made.make(began)
            if promote or (same is None and not any(one.promoted for one in known)):
                with suppress(Conflict):
                    made.registry.promote(number, "trained" if promote else "the first encoder")
            encoder = made.registry.named(number)
            return EncoderResult(encoder, same is not None, metrics, gathered.skipped, time.monotonic() - started)
    finally:
        engine.dispose()


@dataclass(frozen=True)
class _Start:
    """The encoder to start from: its name, weights and tokenizer."""

    name: str
    weights: dict[str, Floats]
    tokenizer: bytes

    @staticmethod
    def read(folder: Path) -> _Start:
        try:
            raw, tokenizer = (folder / WEIGHTS).read_bytes(), (folder / TOKENIZER).read_bytes()
            weights = read_safetensors(raw)
        except (OSError, ValueError, KeyError) as error:
            raise no_minilm(folder, error) from error
        return _Start(f"minilm-{hashlib.sha256(raw + tokenizer).hexdigest()[:12]}", weights, tokenizer)

    def tokens(self, texts: list[str], max_tokens: int) -> list[list[int]]:
        """The tokens of texts in plain form."""
        tokenizer = read_tokenizer(self.tokenizer, max_tokens)
        return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


@dataclass(frozen=True)
class _Made:
    """An encoder while it is made."""

    settings: Settings
    registry: EncoderRegistry
    held_out: Examples
    learned: Examples
    config: TuneConfig
    start: _Start
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

    def make(self, began: Micros) -> tuple[EncoderMetrics, str]:
        """Fine-tune, measure and register; returns the metrics and the encoder's number."""
        found = origin()
        tags = {**found, **mlflow_tags(found, "leads encoder train")}
        run_id = self.registry.begin_run(self.fingerprint, at=began, tags=tags)
        try:
            metrics, number = self._fine_tuned(run_id)
        except BaseException as error:
            with suppress(LeadsError):
                status, why = failure(error)
                self.registry.end_run(run_id, status, why=why)
            raise
        self.registry.end_run(run_id, "FINISHED")
        return metrics, number

    def _fine_tuned(self, run_id: str) -> tuple[EncoderMetrics, str]:
        from training.encoder.tuning import Tuning

        work = self.settings.root / "cache" / "encoder-training" / self.fingerprint[:16]
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
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "encoder"
            folder.mkdir()
            encoder = self._write(folder, network, outputs)
            metrics = measure(encoder, self.held_out, learned.only(own), outputs[own], full)
            described = card.write(encoder.about, learned, metrics, self.config)
            as_json = msgspec.json.format(msgspec.json.encode(metrics), indent=2)
            files.write_files(folder, encoder.about, {files.METRICS: as_json, files.CARD: described.encode()})
            self.tell(REGISTER)
            number = self.registry.register(folder, self._record(encoder.about, metrics, described), run_id)
        shutil.rmtree(work, ignore_errors=True)
        return metrics, number

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

    def _record(self, about: About, metrics: EncoderMetrics, described: str) -> RunRecord:
        return RunRecord(
            fingerprint=self.fingerprint,
            params={
                **self.config.model_dump(),
                "texts": len(self.learned.texts),
                "harms": ", ".join(about.harms),
                "base": about.base,
            },
            metrics=metrics.numbers(),
            tags={DATA_HASH: about.data_hash},
            description=described,
            harm_description="Encoders that were fine-tuned on the labels of all harms. The alias `promoted` names the "
            "one that harms are trained with from now on. Versions of harms name the encoder that they need.",
        )


def _check_installed() -> None:
    for package in ("torch", "safetensors", "onnx", "onnxruntime", "tokenizers"):
        try:
            __import__(package)
        except ImportError as error:
            raise ConfigurationError(
                f"Fine-tuning needs the package `{package}`, which isn't installed.",
                field="LEADS_ENCODER",
                remedy="Run: make encoder-training. Serving doesn't need PyTorch.",
            ) from error

"""`leads encoder train`: fine-tune an encoder on the labels of all harms, measure it, and register it.

Three networks are fine-tuned from the same start. The last one, on all texts, is the encoder. The first two are
fine-tuned on half of the texts each and give the outputs for the other half: a harm's model is fitted on these, so that
it learns how far the encoder can be trusted on texts that it has never seen. That doubles the time.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from leads import clock
from leads.clock import Micros
from leads.db.engine import open_engine
from leads.errors import Conflict, LeadsError
from leads.policies import Policies
from leads.retention.home import trainings_of_encoders
from leads.settings import Settings
from models.registry.encoders import EncoderRegistry, RegisteredEncoder
from models.registry.versions import DATA_HASH, FINGERPRINT, RunRecord
from models.text.sentence import installed
from training.config import SEED
from training.encoder.augment import augmented
from training.encoder.config import TuneConfig, load_tune_config
from training.encoder.gathering import gather_examples
from training.encoder.making import STEPS, Made, Making, Start, check_installed
from training.encoder.measure import EncoderMetrics
from training.origin import mlflow_tags, origin
from training.progress import OnProgress, reporter
from training.workspace import failure, training_lock

GATHER, REGISTER = "gathering the labels of all harms", "registering"


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
    check_installed()
    began, started, config = clock.now(), time.monotonic(), config or load_tune_config(settings)
    tell = reporter((GATHER, *STEPS, REGISTER), on_progress)
    engine = open_engine(settings)
    try:
        with training_lock(settings):
            tell(GATHER)
            gathered = gather_examples(settings, engine, policies, tell)
            learned = gathered.learned
            if config.augment:
                learned = augmented(learned, gathered.about_groups, seed=SEED)
            start, registry = Start.read(settings.encoder_dir or installed()), EncoderRegistry(settings)
            making = Making(learned, gathered.held_out, config, start, tell)
            known = registry.list()
            same = next((one for one in known if one.tags.get(FINGERPRINT) == making.fingerprint), None)
            if same:
                metrics, number = None, same.version
                registry.end_abandoned(making.fingerprint)
            else:
                metrics, number = _Registering(settings, registry, making).make(began)
            if promote or (same is None and not any(one.promoted for one in known)):
                with suppress(Conflict):
                    registry.promote(number, "trained" if promote else "the first encoder")
            encoder = registry.named(number)
            return EncoderResult(encoder, same is not None, metrics, gathered.skipped, time.monotonic() - started)
    finally:
        engine.dispose()


def has_begun(settings: Settings) -> bool:
    """Whether a training was ended before it was done."""
    return any(trainings_of_encoders(settings).glob("*/*"))


@dataclass(frozen=True)
class _Registering:
    """An encoder that is made and registered."""

    settings: Settings
    registry: EncoderRegistry
    making: Making

    def make(self, began: Micros) -> tuple[EncoderMetrics, str]:
        """Fine-tune, measure and register; returns the metrics and the encoder's number."""
        found = origin()
        tags = {**found, **mlflow_tags(found, "leads encoder train")}
        run_id = self.registry.begin_run(self.making.fingerprint, at=began, tags=tags, params=self._params())
        try:
            metrics, number = self._made(run_id)
        except BaseException as error:
            with suppress(LeadsError):
                status, why = failure(error)
                self.registry.end_run(run_id, status, why=why)
            raise
        self.registry.end_run(run_id, "FINISHED")
        return metrics, number

    def _made(self, run_id: str) -> tuple[EncoderMetrics, str]:
        work = trainings_of_encoders(self.settings) / self.making.fingerprint[:16]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "encoder"
            folder.mkdir()
            made = self.making.make(folder, work)
            self.making.tell(REGISTER)
            number = self.registry.register(folder, self._record(made), run_id)
        shutil.rmtree(work, ignore_errors=True)
        return made.metrics, number

    def _params(self) -> dict[str, str | int | float]:
        learned = self.making.learned
        return {
            **self.making.config.model_dump(),
            "texts": len(learned.texts),
            "harms": ", ".join(learned.harms),
            "base": self.making.start.name,
        }

    def _record(self, made: Made) -> RunRecord:
        return RunRecord(
            fingerprint=self.making.fingerprint,
            metrics=made.metrics.numbers(),
            curves=made.losses,
            tags={DATA_HASH: made.about.data_hash},
            description=made.card,
            harm_description="Encoders that were fine-tuned on the labels of all harms. The alias `promoted` names the "
            "one that harms are trained with from now on. Versions of harms name the encoder that they need.",
        )

"""Fine-tuned encoders in MLflow: a registered model of their own, `leads-encoder`, with a version for each encoder."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leads import clock
from leads.clock import Micros
from leads.errors import Conflict, FilesDamaged, ModelRefused, NotFound
from leads.files import in_turn
from leads.settings import Settings
from models.registry.downloads import download
from models.registry.mlflow_client import Connector, found
from models.registry.runs import RunStatus, TrainingRuns
from models.registry.versions import ALIASES_LOCK, FINGERPRINT, RunRecord
from models.text import encoder_files as files
from models.text.encoder_files import ENCODERS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as ModelVersionEntity

# No harm can have this name.
NAME = "encoder"
MODEL = f"leads-{NAME}"
PROMOTED = "promoted"
# Tags of an encoder: its name, and when and why it was promoted, and rolled back, the last time.
ID, PROMOTED_AT, WHY = "leads.encoder", "leads.promoted_at", "leads.why"
ROLLED_BACK_AT, WHY_ROLLED_BACK = "leads.rolled_back_at", "leads.why_rolled_back"
# The tag of a harm's version that names the encoder which it needs.
NEEDED = "leads.encoder"
_FOLDER = "encoder"
# In the folder of encoders: held by whoever fetches one, or deletes old ones.
_LOCK_FILE = ".fetching.lock"


class RegisteredEncoder(NamedTuple):
    """An encoder in the registry.

    Args:
        version: its number.
        id: its name.
        began: when its training began to gather labels, µs.
        promoted: whether harms are trained with it from now on.
        metrics: of its run.
    """

    version: str
    id: str
    run_id: str
    created_at_ms: int
    began: Micros
    promoted: bool
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def promoted_at(self) -> Micros:
        """When it was promoted the last time, other than by a rollback, µs; 0 if it never was."""
        return int(self.tags.get(PROMOTED_AT, "0"))

    @property
    def rolled_back_at(self) -> Micros:
        """When it was rolled back the last time, µs; 0 if it never was, or has been promoted since."""
        at = int(self.tags.get(ROLLED_BACK_AT, "0"))
        return 0 if self.promoted or at < self.promoted_at else at


class EncoderRegistry:
    """Every method raises Unavailable if MLflow can't be reached."""

    def __init__(self, settings: Settings, connector: Connector | None = None) -> None:
        self._settings = settings
        self._mlflow = connector or Connector(settings)
        self._runs = TrainingRuns(settings)

    def list(self) -> list[RegisteredEncoder]:
        """All encoders, newest first; empty if there is no registry yet."""
        if not self._mlflow.exists():
            return []
        with self._mlflow.client() as client:
            model = found(lambda: client.get_registered_model(MODEL))
            if model is None:
                return []
            promoted = str(model.aliases.get(PROMOTED, ""))
            known = client.search_model_versions(f"name='{MODEL}'", max_results=1_000)
            newest_first = sorted(known, key=lambda version: -int(version.version))
            return [_registered(client, one, promoted) for one in newest_first]

    def promoted(self) -> RegisteredEncoder | None:
        """The encoder that harms are trained with; None if none is promoted."""
        if not self._mlflow.exists():
            return None
        with self._mlflow.client() as client:
            one = found(lambda: client.get_model_version_by_alias(MODEL, PROMOTED))
            return None if one is None else _registered(client, one, str(one.version))

    def named(self, number: str) -> RegisteredEncoder:
        """The encoder with this number. Raises NotFound if there is none."""
        one = next((one for one in self.list() if one.version == number), None)
        if one is None:
            raise NotFound(f"Encoder {number} not found.", field="VERSION", remedy="Run: leads encoder list")
        return one

    def is_needed(self, id_: str, *, except_runs: Collection[str] = ()) -> bool:
        """Whether any harm's registered version needs this encoder.

        Args:
            except_runs: don't count versions of these runs.
        """
        with self._mlflow.client() as client:
            known = client.search_model_versions(f"tags.`{NEEDED}` = '{id_}'")
            return any(one.name != MODEL and one.run_id not in except_runs for one in known)

    def begin_run(
        self,
        fingerprint: str,
        *,
        at: Micros,
        tags: Mapping[str, str],
        params: Mapping[str, str | int | float] | None = None,
    ) -> str:
        """Start the run of a training; returns its id. Runs that a killed training left open are closed."""
        with self._mlflow.client(create=True) as client:
            run_id = self._runs.begin(client, NAME, fingerprint, at=at, tags=tags)
            self._runs.log_params(client, run_id, params or {})
            return run_id

    def end_abandoned(self, fingerprint: str) -> None:
        """Close the runs that a killed training left open."""
        if self._mlflow.exists():
            with self._mlflow.client() as client:
                self._runs.end_abandoned(client, NAME, fingerprint)

    def end_run(self, run_id: str, status: RunStatus, *, why: str | None = None) -> None:
        """End a run now."""
        with self._mlflow.client() as client:
            self._runs.end(client, run_id, status, why=why)

    def register(self, folder: Path, run: RunRecord, run_id: str) -> str:
        """Log an encoder's folder to a run, then register it; returns its number."""
        id_ = files.read_about(folder).id
        with self._mlflow.client(create=True) as client:
            self._runs.log(client, run_id, run)
            client.log_artifacts(run_id, str(folder), _FOLDER)
            if found(lambda: client.get_registered_model(MODEL)) is None:
                client.create_registered_model(MODEL, description=run.harm_description or None)
            source = f"{client.get_run(run_id).info.artifact_uri}/{_FOLDER}"
            tags = {**run.tags, FINGERPRINT: run.fingerprint, ID: id_}
            made = client.create_model_version(MODEL, source, run_id, tags=tags, description=run.description or None)
            self._runs.name(client, run_id, NAME, str(made.version))
            return str(made.version)

    def promote(self, number: str, why: str) -> None:
        """Train harms with this encoder from now on.

        Args:
            why: kept with the encoder.

        Raises:
            NotFound: there is no such encoder.
            Conflict: it is promoted already.
        """
        if not self._mlflow.exists():
            raise NotFound("No encoder is registered yet.", field="VERSION", remedy="Run: leads encoder train")
        with aliases_stay(self._settings), self._mlflow.client() as client:
            if self.named(number).promoted:
                raise Conflict(f"Encoder {number} is promoted already.", field="VERSION")
            # The tags first: without the alias they say nothing.
            client.set_model_version_tag(MODEL, number, PROMOTED_AT, str(clock.now()))
            client.set_model_version_tag(MODEL, number, WHY, why)
            client.set_registered_model_alias(MODEL, PROMOTED, number)

    def roll_back(self, why: str) -> RegisteredEncoder | None:
        """Train harms with the encoder that was promoted before; called again, it goes back one more.

        Returns that encoder; None if there was none, so that harms are trained without one.

        Raises:
            Conflict: none is promoted.
        """
        with aliases_stay(self._settings):
            known = self.list()
            now = next((one for one in known if one.promoted), None)
            if now is None:
                raise Conflict("No encoder is promoted.", field="encoder", remedy="Run: leads encoder list")
            before = next(iter(earlier(known)), None)
            with self._mlflow.client() as client:
                client.set_model_version_tag(MODEL, now.version, ROLLED_BACK_AT, str(clock.now()))
                client.set_model_version_tag(MODEL, now.version, WHY_ROLLED_BACK, why)
                if before is None:
                    client.delete_registered_model_alias(MODEL, PROMOTED)
                else:
                    client.set_registered_model_alias(MODEL, PROMOTED, before.version)
            return before

    def ensure(self, id_: str) -> Path:
        """Have an encoder, whole, in this host's folder of encoders; returns its own folder there.

        Raises:
            ModelRefused: the registry doesn't have it, or its artifacts can't be read.
        """
        folder = self._settings.root / ENCODERS / id_
        with folders_stay(self._settings):
            if not files.is_whole(folder, id_):
                self._fetch(id_, folder)
            # An encoder that nothing needs is deleted some time after its last use.
            with suppress(OSError):
                os.utime(folder)
        return folder

    def _fetch(self, id_: str, folder: Path) -> None:
        with self._mlflow.client() as client:
            known = client.search_model_versions(f"name='{MODEL}' and tags.`{ID}` = '{id_}'")
            if not known:
                raise ModelRefused(
                    f"The encoder {id_} isn't in the registry.",
                    field=MODEL,
                    remedy="Train an encoder, and the harm again: leads encoder train",
                )

            def complete(copied: Path) -> None:
                if not files.is_whole(copied, id_):
                    raise FilesDamaged(f"The registry's files of the encoder {id_} are damaged.", field=MODEL)

            download(self._settings, str(known[0].source), folder, complete)


def earlier(known: Sequence[RegisteredEncoder]) -> list[RegisteredEncoder]:
    """The encoders to which rolling back can return, the next one first; empty if none is promoted."""
    now = next((one for one in known if one.promoted), None)
    if now is None:
        return []
    before = [one for one in known if 0 < one.promoted_at < now.promoted_at]
    return sorted(before, key=lambda one: -one.promoted_at)


def aliases_stay(settings: Settings) -> AbstractContextManager[None]:
    """While this is open, no other process of this home moves an alias or deletes versions. Waits for one that does."""
    return in_turn(settings.root / ALIASES_LOCK)


def folders_stay(settings: Settings) -> AbstractContextManager[None]:
    """While this is open, no other process fetches an encoder to this home or deletes one. Waits for one that does."""
    return in_turn(settings.root / ENCODERS / _LOCK_FILE)


def _registered(client: MlflowClient, version: ModelVersionEntity, promoted: str) -> RegisteredEncoder:
    run = client.get_run(version.run_id)
    number, tags = str(version.version), dict(version.tags)
    return RegisteredEncoder(
        version=number,
        id=tags.get(ID, ""),
        run_id=version.run_id,
        created_at_ms=version.creation_timestamp,
        began=run.info.start_time * 1_000,
        promoted=number == promoted,
        tags=tags,
        metrics=run.data.metrics,
    )

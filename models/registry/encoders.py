"""Fine-tuned encoders in MLflow: a registered model of their own, `leads-encoder`, with a version for each encoder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from leads import clock
from leads.clock import Micros
from leads.errors import Conflict, FilesDamaged, ModelRefused, NotFound
from leads.files import in_turn, private_folder
from leads.settings import Settings
from models.registry.mlflow_client import Connector, found
from models.registry.runs import RunStatus, TrainingRuns
from models.registry.versions import FINGERPRINT, RunRecord
from models.text import encoder_files as files
from models.text.encoder_files import ENCODERS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as ModelVersionEntity

# No harm can have this name.
NAME = "encoder"
MODEL = f"leads-{NAME}"
PROMOTED = "promoted"
# Tags of an encoder: its name, and when and why it was promoted the last time.
ID, PROMOTED_AT, WHY = "leads.encoder", "leads.promoted_at", "leads.why"
# The tag of a harm's version that names the encoder which it needs.
NEEDED = "leads.encoder"
_FOLDER = "encoder"


class RegisteredEncoder(NamedTuple):
    """An encoder in the registry.

    Args:
        version: its number.
        id: its name.
        promoted: whether harms are trained with it from now on.
        metrics: of its run.
    """

    version: str
    id: str
    run_id: str
    created_at_ms: int
    promoted: bool
    tags: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def promoted_at(self) -> Micros:
        """When it was promoted the last time, other than by a rollback, µs; 0 if it never was."""
        return int(self.tags.get(PROMOTED_AT, "0"))


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
        return next((one for one in self.list() if one.promoted), None)

    def named(self, number: str) -> RegisteredEncoder:
        """The encoder with this number. Raises NotFound if there is none."""
        one = next((one for one in self.list() if one.version == number), None)
        if one is None:
            raise NotFound(f"Encoder {number} not found.", field="VERSION", remedy="Run: leads encoder list")
        return one

    def begin_run(self, fingerprint: str, *, at: Micros, tags: Mapping[str, str]) -> str:
        """Start the run of a training; returns its id. Runs that a killed training left open are closed."""
        with self._mlflow.client(create=True) as client:
            return self._runs.begin(client, NAME, fingerprint, at=at, tags=tags)

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

        Raises:
            NotFound: there is no such encoder.
            Conflict: it is promoted already.
        """
        one = self.named(number)
        if one.promoted:
            raise Conflict(f"Encoder {number} is promoted already.", field="VERSION")
        with self._mlflow.client() as client:
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
        known = self.list()
        now = next((one for one in known if one.promoted), None)
        if now is None:
            raise Conflict("No encoder is promoted.", field="encoder", remedy="Run: leads encoder list")
        earlier = [one for one in known if 0 < one.promoted_at < now.promoted_at]
        before = max(earlier, key=lambda one: one.promoted_at, default=None)
        with self._mlflow.client() as client:
            if before is None:
                client.delete_registered_model_alias(MODEL, PROMOTED)
            else:
                client.set_model_version_tag(MODEL, before.version, WHY, why)
                client.set_registered_model_alias(MODEL, PROMOTED, before.version)
        return before

    def ensure(self, id_: str) -> Path:
        """Have an encoder, whole, in this host's folder of encoders; returns its own folder there.

        Raises:
            ModelRefused: the registry doesn't have it, or its artifacts can't be read.
        """
        folder = self._settings.root / ENCODERS / id_
        if files.is_whole(folder, id_):
            return folder
        private_folder(folder.parent)
        with in_turn(folder.parent / ".fetching.lock"):
            if not files.is_whole(folder, id_):
                self._fetch(id_, folder)
        return folder

    def _fetch(self, id_: str, folder: Path) -> None:
        draft = folder.with_name(f".{id_}.tmp")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            with self._mlflow.client() as client:
                from mlflow.artifacts import download_artifacts

                known = client.search_model_versions(f"name='{MODEL}' and tags.`{ID}` = '{id_}'")
                if not known:
                    raise ModelRefused(
                        f"The encoder {id_} isn't in the registry.",
                        field=MODEL,
                        remedy="Train an encoder, and the harm again: leads encoder train",
                    )
                draft.mkdir()
                try:
                    download_artifacts(str(known[0].source), dst_path=str(draft), tracking_uri=self._settings.mlflow)
                except OSError as error:
                    raise ModelRefused(
                        f"The artifacts of the encoder can't be read: {error}.", field=str(known[0].source)
                    ) from error
            fetched = draft / _FOLDER
            if not files.is_whole(fetched, id_):
                raise FilesDamaged(f"The registry's files of the encoder {id_} are damaged.", field=MODEL)
            shutil.rmtree(folder, ignore_errors=True)
            fetched.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _registered(client: MlflowClient, version: ModelVersionEntity, promoted: str) -> RegisteredEncoder:
    run = client.get_run(version.run_id)
    number, tags = str(version.version), dict(version.tags)
    return RegisteredEncoder(
        number, tags.get(ID, ""), version.run_id, version.creation_timestamp, number == promoted, tags, run.data.metrics
    )

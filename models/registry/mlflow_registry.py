"""The registry of versions in MLflow. MLflow is imported on the first call, and its errors are translated to ours."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from leads import clock
from leads.clock import Micros
from leads.errors import ModelRefused
from leads.settings import Settings
from models import manifest
from models.registry import artifact, portable
from models.registry.downloads import download
from models.registry.encoders import EncoderRegistry
from models.registry.mlflow_client import Connector, found
from models.registry.runs import HARM, RunStatus, TrainingRuns
from models.registry.versions import FINGERPRINT, Registered, RunRecord, Table, VersionNote, no_such_version
from models.text.encoder_files import PREFIX
from models.text.stage import encoder_named_in
from models.version import ModelVersion, model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as ModelVersionEntity

_MODEL = "model"


class MlflowRegistry:
    """A `VersionRegistry` to which new versions can be added. Every method raises Unavailable if MLflow can't be
    reached."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mlflow = Connector(settings)
        self._runs = TrainingRuns(settings)

    def exists(self) -> bool:
        """Whether there is a registry: an embedded one is created by the first training."""
        return self._mlflow.exists()

    def aliases(self, harm: str) -> dict[str, str]:
        """Version by alias (`champion`, `canary`, `challenger`); empty if the harm has no version."""
        with self._mlflow.client() as client:
            model = found(lambda: client.get_registered_model(model_name(harm)))
            return {alias: str(version) for alias, version in model.aliases.items()} if model else {}

    def versions(self, harm: str) -> list[Registered]:
        """All versions of a harm, newest first."""
        with self._mlflow.client() as client:
            known = client.search_model_versions(f"name='{model_name(harm)}'", max_results=1_000)
            newest_first = sorted(known, key=lambda version: -int(version.version))
            return [_registered(client, version) for version in newest_first]

    def version(self, harm: str, number: str) -> Registered:
        """One version.

        Raises:
            NotFound: the version doesn't exist.
        """
        with self._mlflow.client() as client:
            return _registered(client, self._known(client, harm, number))

    def tags_of(self, harm: str, version: str) -> Mapping[str, str]:
        """The tags of a version.

        Raises:
            NotFound: the version doesn't exist.
        """
        with self._mlflow.client() as client:
            return dict(self._known(client, harm, version).tags)

    def find(self, harm: str, fingerprint: str) -> Registered | None:
        """The newest version with this fingerprint; None if there is none."""
        return next((v for v in self.versions(harm) if v.tags.get(FINGERPRINT) == fingerprint), None)

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        """Copy a version's folder to `into/<version>` and return that path. A folder that is there and whole is kept.

        The folder appears in one step, complete. A fine-tuned encoder that the version needs is fetched before, to this
        host's folder of encoders.

        Raises:
            NotFound: the version doesn't exist.
            ModelRefused: its artifacts can't be read or hold no version folder.
        """
        folder = into / version
        if manifest.is_whole(folder):
            self._fetch_encoder(folder)
            # A cached version is deleted some time after its last use.
            with suppress(OSError):
                os.utime(folder)
            return folder
        with self._mlflow.client() as client:
            source = f"{self._known(client, harm, version).source}/artifacts/{artifact.FOLDER}"

            def complete(copied: Path) -> None:
                if not (copied / manifest.MANIFEST).is_file():
                    raise ModelRefused(
                        "The registered artifacts hold no version folder.",
                        field=source,
                        remedy="Train the harm again; this version's files are lost.",
                    )
                (copied / manifest.VERSION).write_text(version, encoding="utf-8")
                self._fetch_encoder(copied)

            download(self._settings, source, folder, complete)
        return folder

    def begin_run(self, harm: str, fingerprint: str, *, at: Micros, tags: Mapping[str, str]) -> str:
        """Start the run of a training that began at `at`; returns its id.

        Runs that a killed training left open are closed.

        Args:
            fingerprint: of the version that it will make.
        """
        with self._mlflow.client(create=True) as client:
            return self._runs.begin(client, harm, fingerprint, at=at, tags=tags)

    def end_run(self, run_id: str, status: RunStatus, *, why: str | None = None) -> None:
        """End a run now.

        Args:
            why: why it failed.
        """
        with self._mlflow.client() as client:
            self._runs.end(client, run_id, status, why=why)

    def end_abandoned_runs(self, harm: str, fingerprint: str) -> None:
        """Close the runs that a killed training of this home, or of the same data, left open."""
        with self._mlflow.client() as client:
            self._runs.end_abandoned(client, harm, fingerprint)

    def register(self, harm: str, version: ModelVersion, run: RunRecord, run_id: str | None = None) -> str:
        """Log a run with the version's folder, then register the version; returns its number.

        MLflow assigns the number last, in one transaction with the tags. A process that is killed before leaves a run
        but no version.

        Args:
            run_id: the training's run, from `begin_run`; None starts and ends one.
        """
        with self._mlflow.client(create=True) as client:
            begun = run_id or self._runs.begin(client, harm, run.fingerprint, at=clock.now())
            self._runs.log(client, begun, run)
            self._log_model(client, begun, version)
            self._describe_harm(client, harm, version.name, run.harm_description)
            source = f"{client.get_run(begun).info.artifact_uri}/{_MODEL}"
            tags = {**run.tags, FINGERPRINT: run.fingerprint}
            registered = client.create_model_version(
                version.name, source, begun, tags=tags, description=run.description or None
            )
            number = str(registered.version)
            self._runs.name(client, begun, harm, number)
            if run_id is None:
                self._runs.end(client, begun, "FINISHED")
            return number

    def add_table(self, harm: str, version: str, name: str, table: Table) -> None:
        """Write a table to the artifacts of the run that made a version, replacing one with the same name."""
        with self._mlflow.client() as client:
            self._runs.log_table(client, self._known(client, harm, version).run_id, name, table)

    def annotate(self, harm: str, version: str, note: VersionNote) -> None:
        """Add what was found out about a version to its page and to that of its run.

        Raises:
            NotFound: the version doesn't exist.
        """
        with self._mlflow.client() as client:
            known = self._known(client, harm, version)
            client.update_model_version(known.name, version, note.description)
            for name, value in note.tags.items():
                client.set_model_version_tag(known.name, version, name, value)
            self._runs.annotate(client, known.run_id, note)

    def tag_harm(self, harm: str, tags: Mapping[str, str | None]) -> None:
        """Set tags of the harm's registered model, and remove those whose value is None."""
        with self._mlflow.client() as client:
            name = model_name(harm)
            before = client.get_registered_model(name).tags
            for tag, value in tags.items():
                if value is not None and before.get(tag) != value:
                    client.set_registered_model_tag(name, tag, value)
                elif value is None and tag in before:
                    client.delete_registered_model_tag(name, tag)

    def tag(self, harm: str, version: str, name: str, value: str) -> None:
        """Set a tag of a version, replacing an earlier value."""
        with self._mlflow.client() as client:
            client.set_model_version_tag(model_name(harm), version, name, value)

    def set_alias(self, harm: str, alias: str, version: str) -> None:
        """Point `alias` at `version`. Running services pick the change up through their follower."""
        with self._mlflow.client() as client:
            client.set_registered_model_alias(model_name(harm), alias, version)

    def prepare(self) -> None:
        """Create the embedded registry if there is none yet. That takes some seconds, once."""
        with self._mlflow.client(create=True):
            pass

    def drop_alias(self, harm: str, alias: str) -> None:
        """Remove `alias` from the version that has it."""
        with self._mlflow.client() as client:
            client.delete_registered_model_alias(model_name(harm), alias)

    def _fetch_encoder(self, folder: Path) -> None:
        """Have the fine-tuned encoder that a version's folder needs on this host."""
        text = folder / manifest.TEXT
        needed = encoder_named_in(text.read_bytes()) if text.is_file() else None
        if needed is not None and needed.startswith(PREFIX):
            EncoderRegistry(self._settings, self._mlflow).ensure(needed)

    def _known(self, client: MlflowClient, harm: str, number: str) -> ModelVersionEntity:
        known = found(lambda: client.get_model_version(model_name(harm), number))
        if known is None:
            raise no_such_version(harm, number)
        return known

    def _log_model(self, client: MlflowClient, run_id: str, version: ModelVersion) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            model = Path(temporary) / _MODEL
            portable.save(version, model)
            client.log_artifacts(run_id, str(model), _MODEL)

    def _describe_harm(self, client: MlflowClient, harm: str, name: str, description: str) -> None:
        """Create the harm's registered model if there is none yet, and bring its description up to date."""
        known = found(lambda: client.get_registered_model(name))
        if known is None:
            client.create_registered_model(name, tags={HARM: harm}, description=description or None)
        elif description and known.description != description:
            client.update_registered_model(name, description)


def _registered(client: MlflowClient, version: ModelVersionEntity) -> Registered:
    run = client.get_run(version.run_id)
    return Registered(str(version.version), version.run_id, version.creation_timestamp, version.tags, run.data.metrics)

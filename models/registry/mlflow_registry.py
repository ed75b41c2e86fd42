"""The registry of versions in MLflow. MLflow is imported on the first call, and its errors are translated to ours."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from leads import clock
from leads.errors import ModelRefused
from leads.files import private_folder
from leads.settings import Settings
from models import manifest
from models.registry import portable
from models.registry.mlflow_client import Connector, found
from models.registry.versions import FINGERPRINT, Registered, RunRecord, no_such_version
from models.version import ModelVersion, model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as ModelVersionEntity

EXPERIMENT = "leads"
HARM = "leads.harm"
_MODEL = "model"


class MlflowRegistry:
    """A `VersionRegistry` to which new versions can be added. Every method raises Unavailable if MLflow can't be
    reached."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mlflow = Connector(settings)

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
            known = found(lambda: client.get_model_version(model_name(harm), number))
            if known is None:
                raise no_such_version(harm, number)
            return _registered(client, known)

    def tags_of(self, harm: str, version: str) -> Mapping[str, str]:
        """The tags of a version.

        Raises:
            NotFound: the version doesn't exist.
        """
        with self._mlflow.client() as client:
            known = found(lambda: client.get_model_version(model_name(harm), version))
            if known is None:
                raise no_such_version(harm, version)
            return dict(known.tags)

    def find(self, harm: str, fingerprint: str) -> Registered | None:
        """The newest version with this fingerprint; None if there is none."""
        return next((v for v in self.versions(harm) if v.tags.get(FINGERPRINT) == fingerprint), None)

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        """Copy a version's folder to `into/<version>` and return that path. A folder that is there already is kept.

        The folder appears in one step, complete.

        Raises:
            NotFound: the version doesn't exist.
            ModelRefused: its artifacts can't be read or hold no version folder.
        """
        folder = into / version
        if folder.is_dir():
            return folder
        private_folder(into)
        draft = into / f".{version}.{os.getpid()}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            self._download(harm, version, draft)
            (draft / portable.FOLDER / manifest.VERSION).write_text(version, encoding="utf-8")
            (draft / portable.FOLDER).rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def register(self, harm: str, version: ModelVersion, run: RunRecord) -> str:
        """Log a run with the version's folder, then register the version; returns its number.

        MLflow assigns the number last, in one transaction with the tags. A process that is killed before leaves a run
        but no version.
        """
        with self._mlflow.client(create=True) as client:
            self._end_abandoned(client, harm, run.fingerprint)
            run_id = self._log(client, harm, version, run)
            if found(lambda: client.get_registered_model(version.name)) is None:
                client.create_registered_model(version.name, tags={HARM: harm})
            source = f"{client.get_run(run_id).info.artifact_uri}/{_MODEL}"
            tags = {**run.tags, FINGERPRINT: run.fingerprint}
            registered = client.create_model_version(version.name, source, run_id, tags=tags)
            client.set_terminated(run_id)
            return str(registered.version)

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

    def _download(self, harm: str, version: str, draft: Path) -> None:
        with self._mlflow.client() as client:
            from mlflow.artifacts import download_artifacts

            registered = found(lambda: client.get_model_version(model_name(harm), version))
            if registered is None:
                raise no_such_version(harm, version)
            draft.mkdir()
            # MLflow passes on the file system's own error if artifacts are missing.
            try:
                download_artifacts(
                    f"{registered.source}/artifacts/{portable.FOLDER}",
                    dst_path=str(draft),
                    tracking_uri=self._settings.mlflow,
                )
            except OSError as error:
                raise ModelRefused(f"The artifacts can't be read: {error}.", field=str(registered.source)) from error
        if not (draft / portable.FOLDER / manifest.MANIFEST).is_file():
            raise ModelRefused(
                "The registered artifacts hold no version folder.",
                field=str(registered.source),
                remedy="Train the harm again; this version's files are lost.",
            )

    def _log(self, client: MlflowClient, harm: str, version: ModelVersion, run: RunRecord) -> str:
        """Log parameters, metrics, plots and the portable model to a new run; returns its id."""
        from mlflow.entities import Metric, Param, RunTag

        tags = {**run.tags, FINGERPRINT: run.fingerprint, HARM: harm}
        run_id: str = client.create_run(self._experiment(client), run_name=harm, tags=tags).info.run_id
        at = clock.now() // 1_000
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, at, 0) for name, value in run.metrics.items()],
            params=[Param(name, str(value)) for name, value in run.params.items()],
            tags=[RunTag("mlflow.note.content", (version.folder / manifest.CARD).read_text(encoding="utf-8"))],
        )
        if run.dataset is not None:
            client.log_inputs(run_id, datasets=[run.dataset])
        for path in run.files:
            client.log_artifact(run_id, str(path), "plots")
        with tempfile.TemporaryDirectory() as temporary:
            model = Path(temporary) / _MODEL
            portable.save(version, model)
            client.log_artifacts(run_id, str(model), _MODEL)
        return run_id

    def _experiment(self, client: MlflowClient) -> str:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        # A server chooses its own artifact store. A plain database would put artifacts into the working directory.
        on_server = self._settings.mlflow.startswith("http")
        location = None if on_server else self._settings.artifacts_dir.as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))

    def _end_abandoned(self, client: MlflowClient, harm: str, fingerprint: str) -> None:
        """Close the runs that a killed training of the same data left open."""
        query = f"tags.`{FINGERPRINT}` = '{fingerprint}' AND tags.`{HARM}` = '{harm}' AND status = 'RUNNING'"
        for run in client.search_runs([self._experiment(client)], query):
            client.set_terminated(run.info.run_id, "KILLED")


def _registered(client: MlflowClient, version: ModelVersionEntity) -> Registered:
    run = client.get_run(version.run_id)
    return Registered(str(version.version), version.run_id, version.creation_timestamp, version.tags, run.data.metrics)

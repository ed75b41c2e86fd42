"""The registry of versions: MLflow, whose errors become ours here. MLflow is imported when something is asked of it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from leads import clock
from leads.errors import ModelRefused, NotFound
from leads.settings import Settings
from models import manifest
from models.registry import portable
from models.registry.mlflow_client import Connector, found
from models.version import ModelVersion, model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput
    from mlflow.entities.model_registry import ModelVersion as ModelVersionEntity

EXPERIMENT = "leads"
FINGERPRINT = "leads.fingerprint"
# A version with this tag never answers again; its value says since when, by whom and why.
RETIRED = "leads.retired"
_MODEL = "model"
# `portable.save` puts the version's folder among the model's artifacts under this name.
_FOLDER = "version"


@dataclass(frozen=True)
class RunRecord:
    """What is kept about how a version came to be.

    Args:
        fingerprint: equal for equal data and configuration.
        tags: of the run and of the version.
        dataset: the labels that it learned from, as MLflow shows data sets.
        files: more artifacts of the run (plots), by path.
    """

    fingerprint: str
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    dataset: DatasetInput | None = None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Registered:
    """One version as the registry knows it; the fingerprint is among its tags."""

    version: str
    run_id: str
    created_at_ms: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class Registry:
    """Versions and aliases by harm. Every method raises Unavailable when MLflow doesn't answer."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mlflow = Connector(settings)

    def aliases(self, harm: str) -> dict[str, str]:
        """Version by alias (`champion`, `canary`, `challenger`); empty when nothing is registered."""
        with self._mlflow.client() as client:
            model = found(lambda: client.get_registered_model(model_name(harm)))
            return {alias: str(version) for alias, version in model.aliases.items()} if model else {}

    def versions(self, harm: str) -> list[Registered]:
        """All versions, the newest first."""
        with self._mlflow.client() as client:
            known = client.search_model_versions(f"name='{model_name(harm)}'", max_results=1_000)
            newest_first = sorted(known, key=lambda version: -int(version.version))
            return [_registered(client, version) for version in newest_first]

    def version(self, harm: str, number: str) -> Registered:
        """One version.

        Raises:
            NotFound: no such version.
        """
        with self._mlflow.client() as client:
            known = found(lambda: client.get_model_version(model_name(harm), number))
            if known is None:
                raise no_such_version(harm, number)
            return _registered(client, known)

    def find(self, harm: str, fingerprint: str) -> Registered | None:
        """The newest version with this fingerprint."""
        return next((v for v in self.versions(harm) if v.tags.get(FINGERPRINT) == fingerprint), None)

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        """Copy a version to `into/<version>`, in place at once and whole, unless it is there already.

        Raises:
            NotFound: no such version.
            ModelRefused: its artifacts hold no version folder.
        """
        folder = into / version
        if folder.is_dir():
            return folder
        into.mkdir(parents=True, exist_ok=True)
        draft = into / f".{version}.{os.getpid()}.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            self._download(harm, version, draft)
            (draft / _FOLDER / manifest.VERSION).write_text(version, encoding="utf-8")
            (draft / _FOLDER).rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return folder

    def register(self, harm: str, made: ModelVersion, run: RunRecord) -> str:
        """Log a run with the version's folder, then register it; returns the version's number.

        The number is given last, in one transaction with its tags: killed before, there is a run but no version.
        """
        with self._mlflow.client(create=True) as client:
            self._end_abandoned(client, harm, run.fingerprint)
            run_id = self._log(client, harm, made, run)
            if found(lambda: client.get_registered_model(made.name)) is None:
                client.create_registered_model(made.name, tags={"leads.harm": harm})
            source = f"{client.get_run(run_id).info.artifact_uri}/{_MODEL}"
            tags = {**run.tags, FINGERPRINT: run.fingerprint}
            version = client.create_model_version(made.name, source, run_id, tags=tags)
            client.set_terminated(run_id)
            return str(version.version)

    def tag(self, harm: str, version: str, name: str, value: str) -> None:
        """Write a tag of a version, over one of the same name."""
        with self._mlflow.client() as client:
            client.set_model_version_tag(model_name(harm), version, name, value)

    def set_alias(self, harm: str, alias: str, version: str) -> None:
        """Let `alias` name `version`; the follower takes it up from there."""
        with self._mlflow.client() as client:
            client.set_registered_model_alias(model_name(harm), alias, version)

    def prepare(self) -> None:
        """Create the embedded registry when there is none; takes seconds, once."""
        with self._mlflow.client(create=True):
            pass

    def drop_alias(self, harm: str, alias: str) -> None:
        """Nothing bears `alias` any more."""
        with self._mlflow.client() as client:
            client.delete_registered_model_alias(model_name(harm), alias)

    def _download(self, harm: str, version: str, draft: Path) -> None:
        with self._mlflow.client() as client:
            from mlflow.artifacts import download_artifacts

            registered = found(lambda: client.get_model_version(model_name(harm), version))
            if registered is None:
                raise no_such_version(harm, version)
            draft.mkdir()
            # MLflow gives the file system's own error for artifacts that are gone.
            try:
                download_artifacts(
                    f"{registered.source}/artifacts/{_FOLDER}", dst_path=str(draft), tracking_uri=self._settings.mlflow
                )
            except OSError as error:
                raise ModelRefused(f"The artifacts can't be read: {error}.", field=str(registered.source)) from error
        if not (draft / _FOLDER / manifest.MANIFEST).is_file():
            raise ModelRefused("The registered artifacts hold no version folder.", field=str(registered.source))

    def _log(self, client: MlflowClient, harm: str, made: ModelVersion, run: RunRecord) -> str:
        """A run with parameters, metrics, plots and the portable model; returns its id."""
        from mlflow.entities import Metric, Param, RunTag

        tags = {**run.tags, FINGERPRINT: run.fingerprint, "leads.harm": harm}
        run_id: str = client.create_run(self._experiment(client), run_name=harm, tags=tags).info.run_id
        at = clock.now() // 1_000
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, at, 0) for name, value in run.metrics.items()],
            params=[Param(name, str(value)) for name, value in run.params.items()],
            tags=[RunTag("mlflow.note.content", (made.folder / manifest.CARD).read_text(encoding="utf-8"))],
        )
        if run.dataset is not None:
            client.log_inputs(run_id, datasets=[run.dataset])
        for path in run.files:
            client.log_artifact(run_id, str(path), "plots")
        with tempfile.TemporaryDirectory() as temporary:
            model = Path(temporary) / _MODEL
            portable.save(made, model)
            client.log_artifacts(run_id, str(model), _MODEL)
        return run_id

    def _experiment(self, client: MlflowClient) -> str:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        # A server decides itself where artifacts go; a bare database would put them below the working directory.
        on_server = self._settings.mlflow.startswith("http")
        location = None if on_server else self._settings.artifacts_dir.as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))

    def _end_abandoned(self, client: MlflowClient, harm: str, fingerprint: str) -> None:
        """Close what a killed training of the same data left open."""
        query = f"tags.`{FINGERPRINT}` = '{fingerprint}' AND tags.`leads.harm` = '{harm}' AND status = 'RUNNING'"
        for run in client.search_runs([self._experiment(client)], query):
            client.set_terminated(run.info.run_id, "KILLED")


def no_such_version(harm: str, number: str) -> NotFound:
    """What to raise for a version that isn't there."""
    return NotFound(f"There is no version {number} of {model_name(harm)}.", remedy="See: leads models list")


def _registered(client: MlflowClient, version: ModelVersionEntity) -> Registered:
    run = client.get_run(version.run_id)
    return Registered(str(version.version), version.run_id, version.creation_timestamp, version.tags, run.data.metrics)

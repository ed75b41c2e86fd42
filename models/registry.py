"""The registry of versions: MLflow, whose errors become ours here. MLflow is imported when something is asked of it."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from leads import clock
from leads.errors import ModelRefused, NotFound, Unavailable
from leads.settings import Settings
from models import manifest, portable
from models.version import ModelVersion, model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as ModelVersionEntity

T = TypeVar("T")
EXPERIMENT = "leads"
FINGERPRINT = "leads.fingerprint"
_MODEL = "model"
# `portable.save` puts the version's folder among the model's artifacts under this name.
_FOLDER = "version"
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
_REMEDY = "Check LEADS_MLFLOW_URI and that the MLflow server runs."


@dataclass(frozen=True)
class RunRecord:
    """What is kept about how a version came to be.

    Args:
        fingerprint: equal for equal data and configuration.
        tags: of the run and of the version.
        files: more artifacts of the run (plots), by path.
    """

    fingerprint: str
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
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
        self._connected: MlflowClient | None = None

    def aliases(self, harm: str) -> dict[str, str]:
        """Version by alias (`champion`, `challenger`); empty when nothing is registered."""
        with self._client() as client:
            model = _found(lambda: client.get_registered_model(model_name(harm)))
            return {alias: str(version) for alias, version in model.aliases.items()} if model else {}

    def versions(self, harm: str) -> list[Registered]:
        """All versions, the newest first."""
        with self._client() as client:
            found = client.search_model_versions(f"name='{model_name(harm)}'", max_results=1_000)
            newest_first = sorted(found, key=lambda version: -int(version.version))
            return [_registered(client, version) for version in newest_first]

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
        with self._client(create=True) as client:
            self._end_abandoned(client, harm, run.fingerprint)
            run_id = self._log(client, harm, made, run)
            if _found(lambda: client.get_registered_model(made.name)) is None:
                client.create_registered_model(made.name, tags={"leads.harm": harm})
            source = f"{client.get_run(run_id).info.artifact_uri}/{_MODEL}"
            tags = {**run.tags, FINGERPRINT: run.fingerprint}
            version = client.create_model_version(made.name, source, run_id, tags=tags)
            client.set_terminated(run_id)
            return str(version.version)

    def set_alias(self, harm: str, alias: str, version: str) -> None:
        """Let `alias` name `version`; the follower takes it up from there."""
        with self._client() as client:
            client.set_registered_model_alias(model_name(harm), alias, version)

    def prepare(self) -> None:
        """Create the embedded registry when there is none; takes seconds, once."""
        with self._client(create=True):
            pass

    def drop_alias(self, harm: str, alias: str) -> None:
        """Nothing bears `alias` any more."""
        with self._client() as client:
            client.delete_registered_model_alias(model_name(harm), alias)

    def _download(self, harm: str, version: str, draft: Path) -> None:
        with self._client() as client:
            from mlflow.artifacts import download_artifacts

            found = _found(lambda: client.get_model_version(model_name(harm), version))
            if found is None:
                raise NotFound(f"There is no version {version} of {model_name(harm)}.", remedy="See: leads models list")
            draft.mkdir()
            # MLflow gives the file system's own error for artifacts that are gone.
            try:
                download_artifacts(
                    f"{found.source}/artifacts/{_FOLDER}", dst_path=str(draft), tracking_uri=self._settings.mlflow
                )
            except OSError as error:
                raise ModelRefused(f"The artifacts can't be read: {error}.", field=str(found.source)) from error
        if not (draft / _FOLDER / manifest.MANIFEST).is_file():
            raise ModelRefused("The registered artifacts hold no version folder.", field=str(found.source))

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
        for path in run.files:
            client.log_artifact(run_id, str(path), "plots")
        with tempfile.TemporaryDirectory() as temporary:
            model = Path(temporary) / _MODEL
            portable.save(made, model)
            client.log_artifacts(run_id, str(model), _MODEL)
        return run_id

    def _experiment(self, client: MlflowClient) -> str:
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        # A server decides itself where artifacts go; a bare database would put them below the working directory.
        on_server = self._settings.mlflow.startswith("http")
        location = None if on_server else self._settings.artifacts_dir.as_uri()
        return str(client.create_experiment(EXPERIMENT, artifact_location=location))

    def _end_abandoned(self, client: MlflowClient, harm: str, fingerprint: str) -> None:
        """Close what a killed training of the same data left open."""
        query = f"tags.`{FINGERPRINT}` = '{fingerprint}' AND tags.`leads.harm` = '{harm}' AND status = 'RUNNING'"
        for run in client.search_runs([self._experiment(client)], query):
            client.set_terminated(run.info.run_id, "KILLED")

    @contextmanager
    def _client(self, *, create: bool = False) -> Iterator[MlflowClient]:
        """The client, with MLflow's errors translated."""
        _configure()
        try:
            with warnings.catch_warnings():
                # MLflow and what it imports warn about each other; nobody here can act on it.
                warnings.simplefilter("ignore")
                import mlflow
                from sqlalchemy.exc import SQLAlchemyError

                if self._connected is None:
                    self._connected = self._connect(create=create)
                yield self._connected
        except (mlflow.MlflowException, SQLAlchemyError, ConnectionError) as error:
            # Only the kind: the whole message may hold the address with a password in it.
            kind = getattr(error, "error_code", type(error).__name__)
            raise Unavailable(f"MLflow doesn't answer ({kind}).", field="LEADS_MLFLOW_URI", remedy=_REMEDY) from error

    def _connect(self, *, create: bool) -> MlflowClient:
        from mlflow import MlflowClient

        uri = self._settings.mlflow
        path = Path(uri.removeprefix("sqlite:///"))
        if uri.startswith("sqlite:///"):
            if not create and not path.is_file():
                raise Unavailable("There is no model registry yet.", field=str(path), remedy="Run: leads train --all")
            path.parent.mkdir(parents=True, exist_ok=True)
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _configure() -> None:
    """No chatter, no telemetry, and seconds instead of minutes until a server that is down counts as down."""
    for name in ("alembic", "mlflow.models", "mlflow.store", "mlflow.tracking"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def _found(look: Callable[[], T]) -> T | None:
    """What `look` finds, None when MLflow says that it doesn't exist."""
    from mlflow import MlflowException

    try:
        return look()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _registered(client: MlflowClient, version: ModelVersionEntity) -> Registered:
    run = client.get_run(version.run_id)
    return Registered(str(version.version), version.run_id, version.creation_timestamp, version.tags, run.data.metrics)

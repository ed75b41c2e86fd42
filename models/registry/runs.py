"""Trainings as MLflow runs: an experiment for each harm, and what a run shows."""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from leads import clock
from leads.clock import Micros
from leads.settings import Settings
from models.registry.versions import FINGERPRINT, RunRecord, Table, VersionNote

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

# Earlier releases logged the runs of all harms to this experiment.
FORMER_EXPERIMENT = "leads"
HARM = "leads.harm"
# Equal for the trainings of one home on one host, of which only one runs at a time.
HOME = "leads.home"
# The version that the run registered.
VERSION = "leads.version"
# Why a run failed.
ERROR = "error"
RunStatus = Literal["FINISHED", "FAILED", "KILLED"]

# MLflow opens an experiment in its view for generative AI unless this tag says what it is for.
_KIND, _MODEL_DEVELOPMENT = "mlflow.experimentKind", "custom_model_development"
_NOTE = "mlflow.note.content"
# Tables that MLflow's pages show as tables.
_TABLES = "mlflow.loggedArtifacts"
# The longest value of a parameter that MLflow accepts.
_LONGEST = 6_000
# The most metrics that MLflow accepts in one call.
_METRICS_AT_ONCE = 1_000


def experiment_of(harm: str) -> str:
    """The name of a harm's experiment.

    >>> experiment_of("spam")
    'leads/spam'
    """
    return f"{FORMER_EXPERIMENT}/{harm}"


class TrainingRuns:
    """Creates, fills and ends runs. Every method takes the client: whoever opens it translates its errors."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        home = f"{platform.node()} {settings.root.resolve()}"
        self._home = hashlib.sha256(home.encode()).hexdigest()[:12]

    def begin(
        self, client: MlflowClient, harm: str, fingerprint: str, *, at: Micros, tags: Mapping[str, str] | None = None
    ) -> str:
        """Start a run, and close those that a killed training left open. Returns its id.

        Args:
            fingerprint: of the version that the run will make.
            at: when the training began.
        """
        for experiment in _experiments(client, harm):
            _set_kind(client, experiment)
        self.end_abandoned(client, harm, fingerprint)
        run: Run = client.create_run(
            self._experiment(client, harm),
            start_time=at // 1_000,
            tags={**(tags or {}), FINGERPRINT: fingerprint, HARM: harm, HOME: self._home},
            run_name=f"{harm} {_second(at)} ({fingerprint[:7]})",
        )
        return str(run.info.run_id)

    def log(self, client: MlflowClient, run_id: str, record: RunRecord) -> None:
        """Log what is known about a version before it is registered."""
        from mlflow.entities import Metric, RunTag

        at = clock.now() // 1_000
        metrics = [Metric(name, value, at, 0) for name, value in record.metrics.items()]
        for name, curve in record.curves.items():
            metrics += [Metric(name, value, at, step) for step, value in curve]
        for first in range(0, len(metrics), _METRICS_AT_ONCE):
            client.log_batch(run_id, metrics=metrics[first : first + _METRICS_AT_ONCE])
        self.log_params(client, run_id, record.params)
        tags = {**record.tags, _NOTE: record.description}
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items() if value])
        if record.dataset is not None:
            client.log_inputs(run_id, datasets=[record.dataset])
        for path in record.files:
            client.log_artifact(run_id, str(path), "plots")
        for name, table in record.tables.items():
            self.log_table(client, run_id, name, table)

    def log_params(self, client: MlflowClient, run_id: str, params: Mapping[str, str | int | float]) -> None:
        """Log parameters. MLflow accepts equal ones again."""
        from mlflow.entities import Param

        client.log_batch(run_id, params=[Param(name, str(value)[:_LONGEST]) for name, value in params.items()])

    def log_table(self, client: MlflowClient, run_id: str, name: str, table: Table) -> None:
        """Write a table to the run's artifacts, in the format that MLflow's pages show as a table.

        MLflow's own function would append to a table that is there already.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(msgspec.json.encode({"columns": table.columns, "data": table.rows}))
            client.log_artifact(run_id, str(path))
        shown = json.loads(client.get_run(run_id).data.tags.get(_TABLES, "[]"))
        entry = {"path": name, "type": "table"}
        if entry not in shown:
            client.set_tag(run_id, _TABLES, json.dumps([*shown, entry]))

    def name(self, client: MlflowClient, run_id: str, harm: str, version: str) -> None:
        """Name a run after the version that it registered."""
        client.set_tag(run_id, VERSION, version)
        began = client.get_run(run_id).info.start_time * 1_000
        client.update_run(run_id, name=f"{harm} v{version} {_second(began)}")

    def annotate(self, client: MlflowClient, run_id: str, note: VersionNote) -> None:
        """Add what was found out about the run's version since."""
        from mlflow.entities import Metric, RunTag

        at = clock.now() // 1_000
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, at, 0) for name, value in note.metrics.items()],
            tags=[RunTag(name, value) for name, value in {**note.tags, _NOTE: note.description}.items()],
        )

    def end(self, client: MlflowClient, run_id: str, status: RunStatus, *, why: str | None = None) -> None:
        """End a run now.

        Args:
            why: why it failed.
        """
        if why is not None:
            client.set_tag(run_id, ERROR, why)
        client.set_terminated(run_id, status, clock.now() // 1_000)

    def end_abandoned(self, client: MlflowClient, harm: str, fingerprint: str) -> None:
        """Close the runs of the harm that a killed training left open: of this home, or of the same data."""
        known = _experiments(client, harm)
        query = f"tags.`{HARM}` = '{harm}' AND status = 'RUNNING'"
        for run in client.search_runs([one.experiment_id for one in known], query) if known else ():
            run_id, tags = run.info.run_id, run.data.tags
            if tags.get(HOME) != self._home and tags.get(FINGERPRINT) != fingerprint:
                continue
            registered = client.search_model_versions(f"run_id = '{run_id}'")
            if registered:
                self.name(client, run_id, harm, str(registered[0].version))
            client.set_terminated(run_id, "FINISHED" if registered else "KILLED")

    def _experiment(self, client: MlflowClient, harm: str) -> str:
        name = experiment_of(harm)
        experiment = client.get_experiment_by_name(name)
        if experiment is not None:
            if experiment.lifecycle_stage == "deleted":
                client.restore_experiment(experiment.experiment_id)
            return str(experiment.experiment_id)
        # A server chooses its own artifact store. A plain database would put artifacts into the working directory.
        on_server = self._settings.mlflow.startswith("http")
        location = None if on_server else self._settings.artifacts_dir.as_uri()
        tags = {_KIND: _MODEL_DEVELOPMENT, _NOTE: f"Trainings of the harm `{harm}` by Lead Serving, a run for each."}
        return str(client.create_experiment(name, artifact_location=location, tags=tags))


def _experiments(client: MlflowClient, harm: str) -> list[Experiment]:
    """Those with runs of a harm, as far as they exist."""
    names = (experiment_of(harm), FORMER_EXPERIMENT)
    return [found for name in names if (found := client.get_experiment_by_name(name)) is not None]


def _set_kind(client: MlflowClient, experiment: Experiment) -> None:
    """Let an experiment that has no kind yet open in the view for models."""
    if experiment.lifecycle_stage == "active" and _KIND not in experiment.tags:
        client.set_experiment_tag(experiment.experiment_id, _KIND, _MODEL_DEVELOPMENT)


def _second(at: Micros) -> str:
    return clock.to_text(at // clock.SECOND * clock.SECOND)[:19].replace("T", " ")

"""Deletes versions that can't serve again from MLflow, and the artifacts of runs without a version.

A run's parameters, metrics and tags stay, as the record of what was trained. Every step may be killed and repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from leads import clock
from leads.clock import Micros
from leads.db.model_changes import ModelChange, champions
from leads.settings import Settings
from models.registry.encoders import MODEL, EncoderRegistry, RegisteredEncoder, earlier
from models.registry.mlflow_client import Connector, found
from models.registry.versions import Registered, VersionReader
from models.version import model_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Tag of a run whose artifacts were deleted: when.
REMOVED = "leads.artifacts_deleted"
_HARM = "leads.harm"
_PAGE = 500
# Later than any time.
_UNKNOWN: Micros = 2**62


def removable(
    versions: Sequence[Registered], aliases: Collection[str], changes: Sequence[ModelChange], before: Micros
) -> list[str]:
    """The versions of a harm that nothing needs: oldest first.

    Needed are the newest one, from which retraining counts labels; those with an alias; champions to which a roll-back
    can return; and those that could serve or score in shadow at any time since `before`, because the prediction log has
    their predictions.

    Args:
        versions: all of the harm, newest first.
        aliases: the versions that have an alias.
        changes: all of the harm, oldest first.
    """
    needed = {*aliases, *champions(changes, None), *(one.version for one in versions[:1])}
    return [
        one.version
        for one in reversed(versions)
        if one.version not in needed
        and one.created_at_ms * 1_000 < before
        and _last_in_service(one.version, changes) < before
    ]


def removable_encoders(encoders: Sequence[RegisteredEncoder], before: Micros) -> list[RegisteredEncoder]:
    """The encoders that can go unless a version of a harm needs them, oldest first.

    Needed in any case are the newest one, from which refreshing counts labels; the promoted one; those to which rolling
    back can return; and those that were registered or promoted since `before`.

    Args:
        encoders: all, newest first.
    """
    stay = {one.version for one in (*encoders[:1], *earlier(encoders))}
    return [
        one
        for one in reversed(encoders)
        if one.version not in stay and not one.promoted and max(one.created_at_ms * 1_000, one.promoted_at) < before
    ]


def _last_in_service(version: str, changes: Sequence[ModelChange]) -> Micros:
    """The latest time at which the version may have lost its last alias, in µs.

    A challenger also loses its alias when another version becomes champion, and only that version is recorded. So the
    next change to the harm counts too.
    """
    mentions = [i for i, one in enumerate(changes) if version in (one.version, one.replaced)]
    if not mentions:
        # Registered by hand: nothing says when it had an alias.
        return _UNKNOWN
    last = changes[mentions[-1]]
    if last.replaced == version or last.action == "registered":
        return last.at
    after = changes[mentions[-1] + 1 :][:1]
    # Without a later change, its alias was removed by hand, nobody knows when.
    return after[0].at if after else _UNKNOWN


class Removal:
    """Deletes from one registry. Every method raises Unavailable if MLflow can't be reached.

    Args:
        before: what was in use since then stays, µs.
        dry_run: only count.
    """

    def __init__(self, settings: Settings, before: Micros, *, dry_run: bool) -> None:
        self._settings = settings
        self._connector = Connector(settings)
        self._before = before
        self._dry_run = dry_run
        self._gone: set[str] = set()
        self.versions = self.runs = self.size = 0
        # Runs whose artifacts are in another home, from which this one was copied.
        self.elsewhere = 0

    def delete_versions(
        self, registry: VersionReader, harm: str, versions: Sequence[Registered], which: Sequence[str]
    ) -> None:
        """Delete versions of a harm, unless one got an alias in the meantime."""
        run_of = {one.version: one.run_id for one in versions}
        for number in which:
            if number in registry.aliases(harm).values():
                continue
            self._delete_version(model_name(harm), number, run_of[number])

    def delete_encoders(self, registry: EncoderRegistry) -> None:
        """Delete the encoders that nothing needs. Call it once the versions of all harms were deleted.

        Call it while no alias can be moved.
        """
        for one in removable_encoders(registry.list(), self._before):
            if not registry.is_needed(one.id, except_runs=self._gone):
                self._delete_version(MODEL, one.version, one.run_id)

    def delete_artifacts(self) -> None:
        """Delete the artifacts of finished runs that are older and have no version any more."""
        with self._connector.client() as client:
            for run in self._runs(client):
                if REMOVED in run.data.tags or run.info.status == "RUNNING" or self._has_version(client, run):
                    continue
                self._delete_artifacts(client, run)

    def _delete_version(self, name: str, number: str, run_id: str) -> None:
        if not self._dry_run:
            with self._connector.client() as client:
                found(partial(client.delete_model_version, name, number))
        self._gone.add(run_id)
        self.versions += 1

    def _runs(self, client: MlflowClient) -> Iterator[Run]:
        """The runs of our trainings that began before."""
        experiments = [one.experiment_id for one in client.search_experiments()]
        query = f"tags.`{_HARM}` != '' AND attributes.start_time < {self._before // 1_000}"
        token = None
        while experiments:
            page = client.search_runs(experiments, query, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _has_version(self, client: MlflowClient, run: Run) -> bool:
        if run.info.run_id in self._gone:
            return False
        return bool(client.search_model_versions(f"run_id='{run.info.run_id}'", max_results=1))

    def _delete_artifacts(self, client: MlflowClient, run: Run) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        uri = run.info.artifact_uri
        if self._is_elsewhere(uri):
            self.elsewhere += 1
            return
        repository = get_artifact_repository(uri, tracking_uri=self._settings.mlflow)
        size = _size(repository, None)
        if not self._dry_run:
            repository.delete_artifacts()
            client.set_tag(run.info.run_id, REMOVED, clock.to_text(clock.now()))
        self.runs += 1
        self.size += size

    def _is_elsewhere(self, uri: str) -> bool:
        """Whether artifacts of the embedded registry are outside this home, which may be a copy of another one."""
        if self._settings.mlflow_uri is not None:
            return False
        url = urlparse(uri)
        path = Path(url2pathname(url.path)) if url.scheme == "file" else Path(uri)
        return not path.resolve().is_relative_to(self._settings.artifacts_dir.resolve())


def _size(repository: object, path: str | None) -> int:
    """Bytes of all artifacts below a path."""
    listed = repository.list_artifacts(path)  # type: ignore[attr-defined]
    return sum(_size(repository, one.path) if one.is_dir else one.file_size or 0 for one in listed)

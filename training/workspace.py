"""What one training holds while it runs: the lock, the database, the registry, and a temporary folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import Engine

from leads.clock import Micros
from leads.db.engine import open_engine
from leads.errors import LeadsError, Unavailable
from leads.files import only_one
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.runs import RunStatus
from models.text.sentence import place_of
from models.version import ModelVersion, load
from training.lifecycle.lifecycle import Lifecycle
from training.origin import mlflow_tags, origin

# MLflow keeps more, but its pages have no room for it.
_LONGEST = 1_000


@dataclass(frozen=True)
class Workspace:
    """`folder` is removed when the training ends."""

    settings: Settings
    engine: Engine
    registry: MlflowRegistry
    folder: Path

    def fetch(self, harm: str, number: str) -> ModelVersion:
        """A registered version.

        Raises:
            NotFound: the version doesn't exist.
            ModelRefused: its files can't be read.
        """
        return load(self.registry.fetch(harm, number, self.folder), place_of(self.settings))

    def lifecycle(self, harm: str, policy: HarmPolicy) -> Lifecycle:
        """The lifecycle of a harm's versions."""
        return Lifecycle(self.settings, policy, harm, self.registry, self.engine)

    @contextmanager
    def run(self, harm: str, fingerprint: str, *, began: Micros, source: str) -> Iterator[str]:
        """Record a training as a run that lasts from `began` to the end of the block, and fails with it.

        Args:
            fingerprint: of the version that it makes.
            source: what trains, such as a command.
        """
        found = origin()
        run_id = self.registry.begin_run(harm, fingerprint, at=began, tags={**found, **mlflow_tags(found, source)})
        try:
            yield run_id
        except BaseException as error:
            with suppress(LeadsError):
                status, why = failure(error)
                self.registry.end_run(run_id, status, why=why)
            raise
        # The version is registered by now; the next training closes a run that this one couldn't.
        with suppress(Unavailable):
            self.registry.end_run(run_id, "FINISHED")


def failure(error: BaseException) -> tuple[RunStatus, str]:
    """How a run ends, and why. Other errors than ours may contain texts of rows, so only their kind is kept."""
    if not isinstance(error, Exception):
        return "KILLED", "interrupted"
    return "FAILED", str(error)[:_LONGEST] if isinstance(error, LeadsError) else type(error).__name__


def training_lock(settings: Settings) -> AbstractContextManager[None]:
    """Hold the lock that every training holds.

    Raises:
        Conflict: another process is training.
    """
    return only_one(settings.root / "training.lock", what="training")


@contextmanager
def open_workspace(settings: Settings) -> Iterator[Workspace]:
    """Open a workspace. An embedded registry is created if there is none yet.

    Raises:
        Conflict: another process is training.
        Unavailable: the database or MLflow can't be reached.
    """
    engine = open_engine(settings)
    try:
        with training_lock(settings), tempfile.TemporaryDirectory() as folder:
            registry = MlflowRegistry(settings)
            registry.prepare()
            yield Workspace(settings, engine, registry, Path(folder))
    finally:
        engine.dispose()

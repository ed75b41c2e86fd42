"""What scoring in the background needs: the database, the published versions, the online store, the prediction log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from sqlalchemy.engine import Engine

from features.online.reader import open_reader
from leads.db.engine import open_engine
from leads.errors import Conflict, LeadsError
from leads.files import only_one
from leads.platform.declaration import load_platform
from leads.policies import Policies, load_policies
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from models.registry.mlflow_client import Connector
from serving.scoring.scorer import Scorer
from serving.scoring.store_guard import GuardedReader
from serving.trials.trials import Trials
from serving.versions.published import PublishedVersions
from serving.versions.published_state import LOCK_FILE

# The worker waits for a slow store instead of scoring without it, but not so long that it can't react to SIGTERM.
_STORE_S = 5.0
_log = logging.getLogger(__name__)


class ScoringParts(NamedTuple):
    """A scorer, the versions it uses, its reader of features, and the log of its predictions."""

    published: PublishedVersions
    scorer: Scorer
    reader: GuardedReader
    log: PredictionLog


@contextmanager
def database(settings: Settings) -> Iterator[Engine]:
    """The database, as `leads.db.engine.open_engine` opens it. It is closed in the end."""
    engine = open_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def open_scoring(
    settings: Settings, policies: Policies, engine: Engine, *, background: bool = False
) -> Iterator[ScoringParts]:
    """Open everything on a database, and close it in the end.

    Args:
        background: follow new versions while this is open; otherwise use those that the registry names now.
    """
    with ExitStack() as closing:
        published = PublishedVersions(settings, policies, engine)
        closing.callback(published.stop)
        if background:
            published.start()
        else:
            follow_once(settings)
            published.refresh()
        reader = GuardedReader(open_reader(settings), timeout_s=_STORE_S)
        closing.callback(reader.close)
        reader.warm_up()
        log = PredictionLog(settings.predictions_dir, owner="worker")
        log.start()
        closing.callback(log.close)
        trials = Trials(policies, published.retreats)
        if background:
            trials.start()
        closing.callback(trials.stop)
        languages = load_platform(settings.platform).language_fields
        scorer = Scorer(engine, policies, reader, published, log, trials, languages)
        yield ScoringParts(published, scorer, reader, log)


def follow_once(settings: Settings) -> None:
    """Publish the versions that the registry's aliases point to now.

    Does nothing if a follower is running or the registry doesn't exist.
    """
    from models.registry.mlflow_registry import MlflowRegistry
    from serving.versions.follower import Follower

    if not Connector(settings).exists():
        return
    try:
        with only_one(settings.published_dir / LOCK_FILE, what="following the registry"):
            Follower(settings, load_policies(settings.policies), MlflowRegistry(settings)).step()
    except Conflict:
        return
    except LeadsError as error:
        _log.warning("could not read the registry, keeping the published versions: %s", error)

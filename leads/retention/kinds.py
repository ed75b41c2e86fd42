"""Every kind of data that is stored, where it is, and whether old data of this kind are deleted."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal, NamedTuple

from leads import clock
from leads.clock import Micros
from leads.retention.policy import RetentionPolicy

# Without a setting: a stored response is repeated for a day, and a temporary file is abandoned after one.
RESPONSES_KEPT: Micros = clock.DAY
TEMPORARY_KEPT: Micros = clock.DAY


class Kind(NamedTuple):
    """A kind of data.

    Args:
        where: `home`: files of this home; `database`: rows that all hosts share; `mlflow`: MLflow's versions and runs.
        what: what it consists of.
        stays: why nothing of it is deleted; empty if `leads prune` deletes old data.
    """

    name: str
    where: Literal["home", "database", "mlflow"]
    what: str
    stays: str = ""


KINDS = (
    Kind("predictions", "home", "the prediction log"),
    Kind("features", "home", "feature segments, state, online store and Feast's registry", "training needs them"),
    Kind("labels", "home", "imported label files", "training needs them; leads labels remove deletes one"),
    Kind("published", "home", "published versions", "the follower keeps those in use and the three newest of a harm"),
    Kind("versions", "mlflow", "MLflow's database and artifacts, if they are in the home"),
    Kind("cache", "home", "versions that commands fetched from MLflow, and fine-tunings of encoders that were ended"),
    Kind("encoders", "home", "fine-tuned encoders that were fetched from MLflow"),
    Kind("encodings", "home", "sentence vectors of known texts"),
    Kind("reports", "home", "pages of monitoring, and Evidently's reports"),
    Kind("evidently", "home", "Evidently's workspace", "monitoring keeps one small snapshot a day for 400 days"),
    Kind("logs", "home", "log files"),
    Kind(
        "bentoml",
        "home",
        "BentoML's files and the metrics of running processes",
        "each start of the service resets them",
    ),
    Kind("temporary", "home", "what killed processes left behind"),
    Kind("other", "home", "everything else, such as simulated data and locks", "it is small, or yours"),
    Kind("database", "database", "the database's files, or its size on the server", "events and decisions are kept"),
    Kind("events", "database", "the event log", "everything else is derived from it"),
    Kind("item_versions", "database", "the order of each item's versions", "it belongs to the events"),
    Kind("leads", "database", "leads", "decisions and training refer to them"),
    Kind("reviews", "database", "what reviewers were shown", "decisions and training refer to them"),
    Kind("audit", "database", "the audit trail"),
    Kind("admin_uses", "database", "requests that needed the scope admin"),
    Kind("responses", "database", "responses stored for an Idempotency-Key"),
    Kind("model_changes", "database", "which versions served when", "roll-backs follow it"),
    Kind("drift_verdicts", "database", "drift verdicts"),
    Kind("canary_retreats", "database", "retreats of canaries"),
    Kind("prediction_summaries", "database", "hourly summaries of predictions"),
    Kind("metric_rows", "database", "measured values"),
    Kind("monitor_runs", "database", "runs of monitoring's jobs"),
    Kind("alerts", "database", "alerts and silences"),
    Kind("outbox", "database", "messages to other systems"),
)
BY_NAME = {kind.name: kind for kind in KINDS}
PRUNED = tuple(kind.name for kind in KINDS if not kind.stays)

# Entries of a home by the kind of what is in them. Databases in the home are recognised by the beginning of their name.
_FOLDERS = {
    "predictions": "predictions",
    "features": "features",
    "labels": "labels",
    "published": "published",
    "mlartifacts": "versions",
    "mlruns": "versions",
    "cache": "cache",
    "encoders": "encoders",
    "encodings": "encodings",
    "reports": "reports",
    "evidently": "evidently",
    "logs": "logs",
    "bentoml": "bentoml",
}


def kept_for(policy: RetentionPolicy, kind: str) -> Micros | None:
    """How long data of a kind are kept, in µs; None: forever."""
    if BY_NAME[kind].stays:
        return None
    fixed = {"responses": RESPONSES_KEPT, "temporary": TEMPORARY_KEPT}
    kept: Micros | None = fixed[kind] if kind in fixed else getattr(policy, kind)
    return kept


def kind_of(path: PurePath) -> str:
    """The kind of a file in a home.

    Args:
        path: relative to the home.

    >>> [kind_of(PurePath(x)) for x in ("logs/api.log", "leads.db-wal", "mlflow.db", "published/spam/.5.77.tmp/x")]
    ['logs', 'database', 'versions', 'temporary']
    """
    if any(is_temporary(part) for part in path.parts):
        return "temporary"
    first = path.parts[0]
    if first.startswith("leads.db"):
        return "database"
    if first.startswith("mlflow.db"):
        return "versions"
    return _FOLDERS.get(first, "other")


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is renamed or deleted by the process that made it, unless it is killed.

    >>> [is_temporary(name) for name in (".5.77.tmp", ".5.aside", ".fetching", ".5.damaged", "5")]
    [True, True, True, False, False]
    """
    return name.startswith(".") and name.endswith((".tmp", ".aside", ".fetching"))

"""What a registry of versions offers, whoever implements it, and the names that every part of the platform uses in it.

Nothing here imports MLflow, so serving can use it. `models.registry.mlflow_registry` is the implementation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from leads.errors import NotFound
from leads.settings import Settings

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

# In the home: held by whoever moves an alias, or deletes versions that have none.
ALIASES_LOCK = "models.lock"

# Tags of a version that the platform reads.
FINGERPRINT = "leads.fingerprint"
# When the newest decision among the version's labels became visible, in µs since epoch; 0 without decisions.
LABELS_UNTIL = "leads.labels_until"
DATA_HASH = "leads.data"
CONTRACT_HASH = "leads.contract"
WHY = "leads.why"
# A retired version never serves again. The value says when it was retired, by whom and why.
RETIRED = "leads.retired"
# The share of subjects that the version serves while it is canary.
CANARY_SHARE = "leads.canary_share"

# Tags that people read, on the version and on its run.
TRAINED_BY, GIT_COMMIT, RELEASE = "trained_by", "git_commit", "release"
DATASET, LABELED_UNTIL, CALIBRATION, GATE = "dataset", "labels_until", "calibration", "gate"

# (step, value) pairs.
Curve = Sequence[tuple[int, float]]
Cell = str | int | float | None


class Table(NamedTuple):
    """A table among a run's artifacts."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class RunRecord:
    """What the registry keeps about how a version was made.

    Args:
        fingerprint: equal for versions made from equal data and configuration.
        tags: set on the run and on the version.
        dataset: the labels that the version was trained with, as an MLflow dataset.
        files: further artifacts of the run (plots), by path.
        curves: metrics that have a value for each of several steps, by name.
        tables: further artifacts of the run, by file name.
        description: of the version and of the run, in Markdown.
        harm_description: of the harm's registered model, in Markdown.
    """

    fingerprint: str
    params: Mapping[str, str | int | float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    dataset: DatasetInput | None = None
    files: tuple[Path, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    description: str = ""
    harm_description: str = ""


class VersionNote(NamedTuple):
    """What is found out about a version after it was registered.

    Args:
        description: replaces that of the version and of its run.
        tags: set on the version and on its run.
        metrics: added to the run.
    """

    description: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Registered:
    """One registered version. Its fingerprint is among its tags."""

    version: str
    run_id: str
    created_at_ms: int
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


class VersionReader(Protocol):
    """Finds versions by alias and fetches their files: all that serving and monitoring need.

    Every method raises Unavailable if the registry can't be reached.
    """

    def aliases(self, harm: str) -> dict[str, str]:
        """Version by alias (`champion`, `canary`, `challenger`); empty if the harm has no version."""
        ...

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        """Copy a version's folder to `into/<version>` and return that path. A folder that is there and whole is kept.

        Raises:
            NotFound: the version doesn't exist.
            ModelRefused: its artifacts can't be read or hold no version folder.
        """
        ...


class TagReader(VersionReader, Protocol):
    """Also reads the tags of versions, as the follower has to."""

    def tags_of(self, harm: str, version: str) -> Mapping[str, str]:
        """The tags of a version. Raises NotFound if it doesn't exist."""
        ...


class VersionRegistry(TagReader, Protocol):
    """A registry whose versions can also be listed, tagged and given an alias: what the lifecycle of versions needs."""

    def version(self, harm: str, number: str) -> Registered:
        """One version. Raises NotFound if it doesn't exist."""
        ...

    def versions(self, harm: str) -> list[Registered]:
        """All versions of a harm, newest first."""
        ...

    def set_alias(self, harm: str, alias: str, version: str) -> None:
        """Point `alias` at `version`, whichever version had it."""
        ...

    def drop_alias(self, harm: str, alias: str) -> None:
        """Remove `alias` from the version that has it."""
        ...

    def tag(self, harm: str, version: str, name: str, value: str) -> None:
        """Set a tag of a version, replacing an earlier value."""
        ...

    def annotate(self, harm: str, version: str, note: VersionNote) -> None:
        """Add what was found out about a version to its page and to that of its run."""
        ...

    def tag_harm(self, harm: str, tags: Mapping[str, str | None]) -> None:
        """Set tags of the harm's registered model, and remove those whose value is None."""
        ...


def versions_cache(settings: Settings, harm: str) -> Path:
    """The folder that `fetch` copies a harm's versions into when a command only wants to read them."""
    return settings.root / "cache" / "versions" / harm


def why_retired(harm: str, number: str, tags: Mapping[str, str]) -> str | None:
    """When a version was retired, by whom and why, as a sentence; None if it isn't retired.

    >>> why_retired("spam", "2", {RETIRED: "2026-03-01T12:00:00Z by anna: worse ranking"})
    'Version 2 of spam was retired at 2026-03-01T12:00:00Z by anna: worse ranking.'
    """
    if RETIRED not in tags:
        return None
    return f"Version {number} of {harm} was retired at {tags[RETIRED].rstrip(' .')}."


def no_such_version(harm: str, number: str) -> NotFound:
    """The error that every registry raises for a version that doesn't exist."""
    return NotFound(f"Version {number} of {harm} not found.", remedy="List the versions: leads models list")

"""Finds out which registered versions can serve: they exist, aren't retired, and pass serving's own checks."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from features.declared.feature_set import FeatureSet
from leads.db.model_changes import CHAMPION
from leads.errors import Conflict, ModelRefused, NotFound
from models.registry.versions import VersionRegistry, why_retired
from models.text.sentence import Place
from models.version import ModelVersion, load
from training.contracts import check_satisfied


class Champion(NamedTuple):
    """The champion to compare with; None if there is none, and `why_none` says why."""

    version: ModelVersion | None
    why_none: str


@dataclass(frozen=True)
class HarmVersions:
    """One harm's registered versions.

    Args:
        place: where the sentence encoder is, for versions that need it.
        features: the live ones.
    """

    registry: VersionRegistry
    harm: str
    place: Place
    features: FeatureSet

    def check_usable(self, number: str) -> None:
        """Raise NotFound if the version doesn't exist, and Conflict, with who retired it and why, if it is retired."""
        found = self.registry.version(self.harm, number)
        retired = why_retired(self.harm, number, found.tags)
        if retired:
            raise Conflict(
                retired,
                field="VERSION",
                remedy="Train a new version, or choose another one: leads models list",
            )

    def verified(self, number: str, folder: Path) -> ModelVersion:
        """The version, fetched to `folder`, after the checks that serving makes.

        Raises:
            NotFound: the version doesn't exist.
            ModelRefused: it fails a check.
        """
        version = self.load(number, folder)
        check_satisfied(version, self.features)
        version.verify()
        return version

    def why_unusable(self, number: str) -> str | None:
        """Why a version can't serve; None if it can."""
        try:
            self.check_usable(number)
            with tempfile.TemporaryDirectory() as folder:
                self.verified(number, Path(folder))
        except (NotFound, Conflict, ModelRefused) as error:
            return error.message
        return None

    def champion(self, folder: Path) -> Champion:
        """The champion, fetched to `folder`. One that can't be loaded counts as none."""
        number = self.registry.aliases(self.harm).get(CHAMPION)
        if number is None:
            return Champion(None, "There is no champion to compare with.")
        try:
            return Champion(self.load(number, folder), "")
        except (ModelRefused, NotFound) as error:
            return Champion(None, f"Version {number}, the champion, can't be loaded: {error.message}")

    def load(self, number: str, folder: Path) -> ModelVersion:
        """The version, fetched to `folder`, without checks.

        Raises:
            NotFound: the version doesn't exist.
            ModelRefused: its files can't be read.
        """
        return load(self.registry.fetch(self.harm, number, folder), self.place)

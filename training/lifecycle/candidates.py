"""Which registered versions may answer: found, not retired, and proven as serving will prove them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from features.evaluate.columns import unsatisfied
from leads.db.model_changes import CHAMPION
from leads.errors import Conflict, ModelRefused, NotFound
from models.registry.versions import RETIRED, VersionRegistry
from models.text.sentence import Place
from models.version import ModelVersion, load


class Champion(NamedTuple):
    """The version to compare with; None where there is none, and why."""

    version: ModelVersion | None
    alone: str


@dataclass(frozen=True)
class HarmVersions:
    """One harm's registered versions; `place` is where the sentence encoder is, for those that need it."""

    registry: VersionRegistry
    harm: str
    place: Place

    def free(self, number: str) -> None:
        """Raises NotFound when there is no such version, Conflict when it was retired, saying by whom and why."""
        found = self.registry.version(self.harm, number)
        if RETIRED in found.tags:
            raise Conflict(
                f"Version {number} is retired since {found.tags[RETIRED]}",
                field="VERSION",
                remedy="Train a new one, or name another: leads models list",
            )

    def proven(self, number: str, folder: Path) -> ModelVersion:
        """The version, fetched to `folder`, after the proof that serving asks of it.

        Raises:
            NotFound: no such version.
            ModelRefused: it fails the proof.
        """
        version = self.load(number, folder)
        why = unsatisfied(version.contract)
        if why:
            raise ModelRefused(why, field="contract.json", remedy="Train the harm again with this code.")
        version.verify()
        return version

    def why_not(self, number: str) -> str | None:
        """Why a version can't answer; None when it can."""
        try:
            self.free(number)
            with tempfile.TemporaryDirectory() as folder:
                self.proven(number, Path(folder))
        except (NotFound, Conflict, ModelRefused) as error:
            return error.message
        return None

    def champion(self, folder: Path) -> Champion:
        """The version that answers; one that can't be loaded any more is none to compare with."""
        number = self.registry.aliases(self.harm).get(CHAMPION)
        if number is None:
            return Champion(None, "There is no champion to compare with.")
        try:
            return Champion(self.load(number, folder), "")
        except (ModelRefused, NotFound) as error:
            return Champion(None, f"Version {number} can't be loaded. {error.message}")

    def load(self, number: str, folder: Path) -> ModelVersion:
        """The version, fetched to `folder`, as it is."""
        return load(self.registry.fetch(self.harm, number, folder), self.place)

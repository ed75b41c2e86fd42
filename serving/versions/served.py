"""What a process says about the versions it serves."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from leads.db.canary_retreats import Retreat
from serving.versions.published_state import HarmState


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """A harm as this process sees it.

    Args:
        serving: the version that answers here; None: none does.
        loaded: the versions that are loaded and proven here, whatever their role.
        share: of subjects for which a canary answers; None for a harm that policies.yaml doesn't declare any more.
        retreat: why the published canary doesn't answer; None while it does.
        refused_here: why versions are not loaded here, by version.
    """

    harm: str
    serving: str | None
    published: HarmState
    loaded: frozenset[str]
    share: float | None
    retreat: Retreat | None
    refused_here: Mapping[str, str]

    @property
    def previous(self) -> str | None:
        """The champion before, when it is at hand."""
        previous = self.published.previous
        return previous if previous in self.loaded else None

    @property
    def converged(self) -> bool:
        """Whether it serves what the alias names."""
        return self.serving == self.published.aliases.get("champion", self.published.champion)

    @property
    def refused(self) -> Mapping[str, str]:
        """Why versions don't serve, by version: refused by the follower, or here."""
        return {**self.published.refused, **self.refused_here}

"""What a process reports about the versions it serves."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from leads.db.canary_retreats import Retreat
from serving.versions.published_state import HarmState


class ServingStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one harm in this process.

    Args:
        serving: the version that serves as champion; None if none does.
        published: what the follower published.
        loaded: the versions that are loaded and verified, whatever their role.
        share: the share of subjects for which a canary answers; None if policies.yaml no longer declares the harm.
        retreat: why the published canary doesn't answer; None if it does.
        refused_here: by version, why this process refused to load it.
        damaged: whether the files of a published version are damaged and not yet fetched again.
    """

    harm: str
    serving: str | None
    published: HarmState
    loaded: frozenset[str]
    share: float | None
    retreat: Retreat | None
    refused_here: Mapping[str, str]
    damaged: bool = False

    @property
    def previous(self) -> str | None:
        """The previous champion; None if it isn't loaded."""
        previous = self.published.previous
        return previous if previous in self.loaded else None

    @property
    def awaited(self) -> frozenset[str]:
        """The published versions that are neither loaded nor refused here yet."""
        return frozenset(self.published.versions) - self.loaded - self.refused_here.keys()

    @property
    def converged(self) -> bool:
        """Whether the version that serves is the one the alias `champion` points to."""
        return self.serving == self.published.aliases.get("champion", self.published.champion)

    @property
    def refused(self) -> Mapping[str, str]:
        """By version, why the follower or this process refused it."""
        return {**self.published.refused, **self.refused_here}

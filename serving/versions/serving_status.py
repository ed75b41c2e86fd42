"""What a process reports about the versions it serves."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from leads.db.canary_retreats import Retreat
from serving.lineup import Absent
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
        damaged_here: those of them whose files are damaged and not yet fetched again.
    """

    harm: str
    serving: str | None
    published: HarmState
    loaded: frozenset[str]
    share: float | None
    retreat: Retreat | None
    refused_here: Mapping[str, str]
    damaged_here: frozenset[str] = frozenset()

    @property
    def damaged(self) -> bool:
        """Whether the files of a published version are damaged and not yet fetched again."""
        return bool(self.damaged_here or self.published.damaged)

    @property
    def absent(self) -> Absent | None:
        """Why no version serves; None if one does, or none should."""
        champion = self.published.champion
        if self.serving is not None:
            return None
        if champion is None:
            # The follower publishes only what passes its checks.
            wanted = self.published.aliases.get("champion")
            return Absent(wanted, "refused") if wanted and wanted in self.published.refused else None
        if champion not in self.refused_here:
            return Absent(champion, "loading")
        if champion not in self.damaged_here:
            return Absent(champion, "refused")
        return Absent(champion, "lost" if champion in self.published.damaged else "damaged")

    @property
    def previous(self) -> str | None:
        """The previous champion; None if it isn't loaded."""
        previous = self.published.previous
        return previous if previous in self.loaded else None

    @property
    def converged(self) -> bool:
        """Whether the version that serves is the one the alias `champion` points to."""
        return self.serving == self.published.aliases.get("champion", self.published.champion)

    @property
    def refused(self) -> Mapping[str, str]:
        """By version, why the follower or this process refused it."""
        return {**self.published.refused, **self.refused_here}

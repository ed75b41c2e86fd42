"""The inputs of a scoring call, grouped by harm and model version. A version scores its whole group at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from features.layout import Instants, Matrix
from features.links import Links
from features.online.reader import Fetched
from leads.clock import Micros
from models.version import ModelVersion
from serving.lineup import Lineup
from serving.scoring.inputs import Input
from serving.scoring.texts.cache import TextColumn

Source = Literal["api", "worker"]


@dataclass(frozen=True)
class ScoringContext:
    """What the n inputs of one scoring call share.

    Args:
        lineup: the versions when the call began. A later swap doesn't affect the call.
        as_of: the instant at which features are evaluated, in µs since epoch.
        source: who asked for the scores; goes to the prediction log.
        fetched: the stored rows of the n inputs.
        texts: the texts of the n inputs.
        available: whether the online store responded. If not, every row in `fetched` is missing.
        stated: the languages that the n inputs state; None where one states none.
    """

    lineup: Lineup
    as_of: Micros
    source: Source
    fetched: Fetched
    texts: TextColumn
    available: bool
    stated: Sequence[str | None]


@dataclass(frozen=True)
class VersionGroup:
    """n inputs that one model version scores.

    Args:
        role: `champion`, `canary` or `challenger`.
        places: (n,) positions of the inputs in the call, and so in the context's rows and texts.
    """

    context: ScoringContext
    version: ModelVersion
    role: str
    inputs: Sequence[Input]
    places: tuple[int, ...]

    def pick(self, kept: Sequence[int]) -> VersionGroup:
        """The group reduced to some of its inputs.

        Args:
            kept: positions within the group, in ascending order.
        """
        inputs = [self.inputs[n] for n in kept]
        return replace(self, inputs=inputs, places=tuple([self.places[n] for n in kept]))

    def scored_by(self, version: ModelVersion, role: str) -> VersionGroup:
        """The same inputs for another version of the same harm."""
        return replace(self, version=version, role=role)

    @property
    def texts(self) -> TextColumn:
        """(n,) the inputs' texts."""
        return self.context.texts if self._is_whole_call else self.context.texts.pick(self.places)

    @property
    def packed(self) -> dict[str, Matrix]:
        """The stored rows by role, each (n, width) float32; NaN rows where nothing is stored."""
        packed = self.context.fetched.packed
        if self._is_whole_call:
            return packed
        places = list(self.places)
        return {role: rows[places] for role, rows in packed.items()}

    @property
    def row_at(self) -> Instants:
        """(n, roles) when each stored row became visible, in µs since epoch; 0 where nothing is stored."""
        row_at = self.context.fetched.row_at
        return row_at if self._is_whole_call else row_at[list(self.places)]

    @property
    def links(self) -> list[Links]:
        """(n,) the keys under which the rows beside the subject's own were looked up."""
        links = self.context.fetched.links
        return [links[place] for place in self.places]

    @property
    def instants(self) -> Instants:
        """(n,) `as_of` for each input."""
        return np.full(len(self.inputs), self.context.as_of, np.int64)

    @property
    def _is_whole_call(self) -> bool:
        """Whether the group holds every input of the call, in the call's order. Then no column needs to be copied."""
        return len(self.places) == len(self.context.fetched.row_at)


def groups_by_version(harm: str, inputs: Sequence[Input], context: ScoringContext) -> list[VersionGroup]:
    """One group for the harm's champion, and one for its canary if the canary takes any of the inputs."""
    canary, champion = context.lineup.canaries.get(harm), context.lineup.champions[harm]
    shares = [("champion", champion, inputs)]
    if canary is not None:
        to_canary = [canary.takes(one.request.subject.key) for one in inputs]
        stay = [one for one, taken in zip(inputs, to_canary, strict=True) if not taken]
        moved = [one for one, taken in zip(inputs, to_canary, strict=True) if taken]
        shares = [("champion", champion, stay), ("canary", canary.version, moved)]
    return [
        VersionGroup(context, version, role, share, tuple([one.place for one in share]))
        for role, version, share in shares
        if share
    ]

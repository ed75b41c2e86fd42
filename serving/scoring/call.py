"""One scoring call: what is the same for all its subjects, and what was worked out once for many of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from features.evaluate.plan import Evaluated
from features.online.reader import Fetched
from leads.clock import Micros
from leads.errors import LeadsError
from serving.scoring.group import Explain, Group
from serving.scoring.inputs import Input, ScoreRequest
from serving.scoring.stages import Stages
from serving.scoring.text_cache import TextCache, Texts
from serving.versions.lineup import Lineup

# A harm to score, or None for the whole request, and what stands in the way.
Planned = tuple[str | None, LeadsError | None]
_Kind = tuple[str, tuple[str, ...] | None, frozenset[str] | None]


class Call:
    """Works with the versions it began with, whatever is swapped meanwhile."""

    def __init__(
        self, lineup: Lineup, as_of: Micros, source: Literal["api", "worker"], explained: Explain, stages: Stages
    ) -> None:
        self.lineup = lineup
        self.as_of = as_of
        self.source: Literal["api", "worker"] = source
        self.explained: Explain = explained
        self.stages = stages
        self._planned: dict[_Kind, list[Planned]] = {}
        self._evaluated: dict[tuple[str, tuple[int, ...]], Evaluated] = {}

    def harms(self, request: ScoreRequest, plan: Callable[[ScoreRequest, Lineup], list[Planned]]) -> list[Planned]:
        """What `plan` says of the request, asked once for all requests of a kind."""
        kind = (request.subject.type_id, request.harms, request.allowed)
        planned = self._planned.get(kind)
        if planned is None:
            planned = self._planned[kind] = plan(request, self.lineup)
        return planned

    def groups(self, harm: str, inputs: list[Input], fetched: Fetched, texts: Texts, available: bool) -> list[Group]:
        """The harm's inputs by the version that answers for them."""
        canary, champion = self.lineup.canaries.get(harm), self.lineup.champions[harm]
        shares = [("champion", champion, inputs)]
        if canary is not None:
            taken = [canary.takes(one.request.subject.key) for one in inputs]
            stay = [one for one, is_taken in zip(inputs, taken, strict=True) if not is_taken]
            moved = [one for one, is_taken in zip(inputs, taken, strict=True) if is_taken]
            shares = [("champion", champion, stay), ("canary", canary.version, moved)]
        return [
            Group(
                version=version,
                role=role,
                inputs=some,
                picked=tuple([one.place for one in some]),
                fetched=fetched,
                texts=texts,
                available=available,
                as_of=self.as_of,
                source=self.source,
            )
            for role, version, some in shares
            if some
        ]

    def evaluated(self, group: Group, texts: TextCache) -> Evaluated:
        """The group's features, made once per contract and choice of subjects."""
        key = (group.version.contract_hash, group.picked)
        evaluated = self._evaluated.get(key)
        if evaluated is None:
            evaluated = self._evaluated[key] = group.evaluate(group.version.contract, texts)
        return evaluated

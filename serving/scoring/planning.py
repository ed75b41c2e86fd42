"""Decides under which harms each request is scored, and why it isn't under the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from features.online.reader import Fetched
from leads.errors import InvalidInput, LeadsError, NoModel, Unavailable
from leads.policies import Policies
from serving.lineup import Absent, Lineup
from serving.scoring.inputs import Input, ScoreRequest, input_error, store_unavailable
from serving.scoring.results import SubjectError

# A harm with the reason why it can't be scored, None if it can. Without a harm, the reason holds for the whole request.
_Choice = tuple[str | None, LeadsError | None]
# Requests that agree in type, harms asked for and harms allowed have the same choices.
_Kind = tuple[str, tuple[str, ...] | None, frozenset[str] | None]
# Why harms have no champion, in the order in which waiting helps.
_SOONEST = ("loading", "damaged", "lost", "refused")


class ScoringPlan(NamedTuple):
    """What to score: inputs by harm, in the order of policies.yaml. And what can't be scored."""

    inputs: Mapping[str, Sequence[Input]]
    errors: Sequence[SubjectError]


class HarmPlanner:
    """Applies policies.yaml and the current versions to requests. Thread-safe."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def plan(self, inputs: Sequence[Input], fetched: Fetched, lineup: Lineup, available: bool) -> ScoringPlan:
        """Choose the harms of each input of a call.

        Args:
            fetched: the inputs' stored rows.
            available: whether the online store responded.

        Raises:
            NotFound: a request names a harm that policies.yaml doesn't declare.
        """
        has_row: list[bool] = np.logical_or.reduce(fetched.row_at, axis=1).tolist()
        by_kind: dict[_Kind, list[_Choice]] = {}
        by_harm: dict[str, list[Input]] = {}
        errors = []
        for one in inputs:
            request = one.request
            kind = (request.subject.type_id, request.harms, request.allowed)
            choices = by_kind.get(kind)
            if choices is None:
                choices = by_kind[kind] = self._choices(request, lineup)
            # Most inputs rule out nothing themselves, so they skip the call.
            if not (available and (one.known or request.text is not None)):
                choices = self._of_input(one, choices, has_row[one.place], lineup, available)
            for harm, error in choices:
                if error is not None:
                    errors.append(SubjectError(one.place, request.subject, harm, error))
                elif harm is not None:
                    by_harm.setdefault(harm, []).append(one)
        return ScoringPlan({harm: by_harm[harm] for harm in self._policies.harms if harm in by_harm}, errors)

    def _of_input(
        self, one: Input, choices: list[_Choice], has_row: bool, lineup: Lineup, available: bool
    ) -> list[_Choice]:
        """The choices of the input's kind, less what this input itself rules out."""
        harm, error = choices[0]
        # A type that no harm, or none of the key's, applies to is reported as such, even if the subject is unknown too.
        if harm is not None or not isinstance(error, InvalidInput):
            error = input_error(one, has_row, available)
            if error is not None:
                return [(None, error)]
        if available:
            return choices
        return [(harm, error or self._without_features(one, harm, lineup)) for harm, error in choices]

    def _choices(self, request: ScoreRequest, lineup: Lineup) -> list[_Choice]:
        """The harms of a request of this kind; never empty.

        A request that names no harms also learns which ones are missing from its scores for now. It isn't told of
        harms that never had a champion.
        """
        type_id = request.subject.type_id
        for i, harm in enumerate(request.harms or ()):
            self._policies.harm(harm, field=f"/harms/{i}")
        if request.harms is not None:
            return [(harm, self._obstacle(type_id, harm, lineup)) for harm in dict.fromkeys(request.harms)]
        allowed = request.allowed
        applying = [x for x in self._policies.harms_for(type_id) if allowed is None or x in allowed]
        if not applying:
            return [(None, self._none_applies(type_id, allowed))]
        if not any(harm in lineup.champions for harm in applying):
            return [(None, no_model(lineup, *applying))]
        due = [harm for harm in applying if harm in lineup.champions or harm in lineup.absent]
        return [(harm, self._obstacle(type_id, harm, lineup)) for harm in due]

    def _none_applies(self, type_id: str, allowed: frozenset[str] | None) -> InvalidInput:
        """A key that is limited to some harms must not learn whether another harm applies to the type."""
        harms = [harm for name, harm in self._policies.harms.items() if allowed is None or name in allowed]
        types = sorted({type_ for harm in harms for type_ in harm.subject_types})
        return InvalidInput(
            f"{'No harm' if allowed is None else 'No harm of this key'} applies to type {type_id!r}.",
            field="/typeId",
            remedy=f"Use one of: {', '.join(types)}." if types else None,
        )

    def _obstacle(self, type_id: str, harm: str, lineup: Lineup) -> LeadsError | None:
        """Why no subject of this type can be scored under the harm; None if they can."""
        types = self._policies.harms[harm].subject_types
        if type_id not in types:
            return InvalidInput(
                f"{harm} doesn't apply to type {type_id!r}.",
                field="/typeId",
                remedy=f"It applies to: {', '.join(types)}.",
            )
        if harm not in lineup.champions:
            return no_model(lineup, harm)
        return None

    def _without_features(self, one: Input, harm: str | None, lineup: Lineup) -> LeadsError | None:
        """Why the harm can't be scored on the text alone while the online store is down; None if it can."""
        if harm is None:
            return None
        on_text = self._policies.harms[harm].scores_without_features and lineup.champions[harm].uses_text
        return None if on_text and one.text else store_unavailable()


def no_model(lineup: Lineup, *harms: str) -> NoModel | Unavailable:
    """The error of what can't be scored because none of these harms, which apply to it, has a champion."""
    found = [harm for harm in harms if harm in lineup.absent]
    if found:
        soonest = min(found, key=lambda harm: _SOONEST.index(lineup.absent[harm].why))
        return _not_served(soonest, lineup.absent[soonest])
    named = " or ".join(harms)
    return NoModel(f"No model version of {named} is published.", remedy=f"Train one: leads train {harms[0]}")


def _not_served(harm: str, absent: Absent) -> Unavailable:
    """The error of a harm whose champion isn't in this process. Callers and operators read it."""
    version = f"Version {absent.version} of {harm}"
    if absent.why == "loading":
        return Unavailable(f"{version} is still being loaded.", remedy="Try again in a second.")
    if absent.why == "damaged":
        return Unavailable(
            f"{version} is damaged and is being fetched again.",
            remedy="Try again in a few seconds. If it stays damaged, run leads status on the host: it says why.",
        )
    if absent.why == "lost":
        return Unavailable(
            f"{version} is damaged and couldn't be fetched again, so {harm} can't be scored.",
            remedy="Run leads status on the host: it says why. If MLflow is down, start it; the version is fetched "
            "within seconds after that.",
        )
    return Unavailable(
        f"{version} was refused, so {harm} can't be scored.",
        remedy="GET /v1/models says why. Do what it says, or promote another version: leads models list. Or train one: "
        f"leads train {harm}",
    )

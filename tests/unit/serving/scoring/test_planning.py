"""Which harms each request is scored under, and why not under the others."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import pytest

from features.declared.builtin import ROLES
from features.layout import missing
from features.links import Links
from features.online.reader import Fetched
from leads.errors import InvalidInput, NoModel, NotFound, Unavailable
from leads.events import Subject
from models.version import ModelVersion
from serving.lineup import Absent, Lineup
from serving.scoring.inputs import ScoreRequest, settle
from serving.scoring.planning import HarmPlanner, ScoringPlan
from tests.support.serving.world import POLICIES

COMMENT, ACCOUNT = Subject("comment", "c1"), Subject("account", "a1")


class Champion:
    """As much of a version as planning looks at."""

    def __init__(self, uses_text: bool) -> None:
        self.uses_text = uses_text


SERVED = {"spam": True, "stream_manipulation": False}
LINEUP = Lineup(MappingProxyType({harm: cast(ModelVersion, Champion(text)) for harm, text in SERVED.items()}))


def plan(*requests: ScoreRequest, lineup: Lineup = LINEUP, available: bool = True, rows: bool = False) -> ScoringPlan:
    n = len(requests)
    row_at = np.full((n, len(ROLES)), int(rows), np.int64)
    inputs = [settle(i, request, {}) for i, request in enumerate(requests)]
    return HarmPlanner(POLICIES).plan(inputs, Fetched(missing(ROLES, n), row_at, [Links()] * n), lineup, available)


def places(found: ScoringPlan) -> dict[str, list[int]]:
    return {harm: [one.place for one in inputs] for harm, inputs in found.inputs.items()}


def errors(found: ScoringPlan) -> list[tuple[int, str | None, Any]]:
    return [(x.index, x.harm, type(x.error)) for x in found.errors]


def test_without_harms_every_harm_with_a_champion_is_scored() -> None:
    found = plan(ScoreRequest(COMMENT, text="x"), ScoreRequest(ACCOUNT), ScoreRequest(COMMENT, text="y"), rows=True)
    assert places(found) == {"spam": [0, 2], "stream_manipulation": [1]}
    assert found.errors == []


def test_without_harms_a_harm_whose_champion_is_absent_has_an_error() -> None:
    """Its own error, as if it had been named. Harms that never had a champion, and those of others, aren't named."""
    absent = {harm: Absent("3", "damaged") for harm in ("sexism", "harassment")}
    lineup = replace(LINEUP, absent=absent)
    found = plan(
        ScoreRequest(COMMENT, text="x"),
        ScoreRequest(ACCOUNT),
        ScoreRequest(COMMENT, text="x", allowed=frozenset({"spam", "sexism"})),
        ScoreRequest(Subject("comment", "c2")),
        lineup=lineup,
        rows=True,
    )
    assert places(found) == {"spam": [0, 2], "stream_manipulation": [1]}
    assert errors(found) == [
        *((0, harm, Unavailable) for harm in POLICIES.harms if harm in absent),
        (2, "sexism", Unavailable),
        (3, None, NotFound),
    ]
    named = plan(ScoreRequest(COMMENT, ("sexism",), text="x"), lineup=lineup)
    assert [str(one.error) for one in named.errors] == [str(found.errors[-2].error)]


def test_each_harm_asked_for_is_scored_or_has_an_error() -> None:
    found = plan(ScoreRequest(COMMENT, ("stream_manipulation", "sexism", "spam", "spam"), text="x"))
    assert places(found) == {"spam": [0]}
    assert errors(found) == [(0, "stream_manipulation", InvalidInput), (0, "sexism", NoModel)]


def test_harms_come_in_the_order_of_the_policies() -> None:
    found = plan(ScoreRequest(ACCOUNT), ScoreRequest(COMMENT, text="x"), rows=True)
    assert list(found.inputs) == [harm for harm in POLICIES.harms if harm in SERVED]


def test_an_unknown_type_is_reported_even_if_the_subject_is_unknown_too() -> None:
    assert errors(plan(ScoreRequest(Subject("mood", "m1")))) == [(0, None, InvalidInput)]


def test_an_unknown_subject_has_one_error_for_all_harms() -> None:
    assert errors(plan(ScoreRequest(COMMENT, ("spam", "sexism")))) == [(0, None, NotFound)]


def test_without_a_champion_nothing_is_scored() -> None:
    assert errors(plan(ScoreRequest(COMMENT, text="x"), lineup=Lineup())) == [(0, None, NoModel)]


def test_the_error_names_the_harms_that_have_no_champion() -> None:
    only_accounts = Lineup(MappingProxyType({"stream_manipulation": LINEUP.champions["stream_manipulation"]}))
    for request in (
        ScoreRequest(COMMENT, text="x", allowed=frozenset({"spam", "stream_manipulation"})),
        ScoreRequest(COMMENT, ("spam",), text="x"),
    ):
        (error,) = (x.error for x in plan(request, lineup=only_accounts).errors)
        assert str(error) == "No model version of spam is published. Train one: leads train spam"


def test_a_key_whose_harms_dont_apply_to_the_type_learns_only_their_types() -> None:
    for subject in (ACCOUNT, Subject("mood", ACCOUNT.id)):
        found = plan(ScoreRequest(subject, allowed=frozenset({"spam", "sexism"})))
        assert errors(found) == [(0, None, InvalidInput)]
        said = str(found.errors[0].error).replace(subject.type_id, "…")
        assert said == "/typeId: No harm of this key applies to type '…'. Use one of: comment."


def test_a_harm_that_policies_do_not_declare_fails_the_call() -> None:
    with pytest.raises(NotFound):
        plan(ScoreRequest(COMMENT, ("nope",), text="x"))


def test_without_the_store_only_harms_judged_by_text_are_scored() -> None:
    found = plan(ScoreRequest(COMMENT, text="x"), ScoreRequest(ACCOUNT, text="x"), available=False)
    assert places(found) == {"spam": [0]}
    assert errors(found) == [(1, "stream_manipulation", Unavailable)]


def test_requests_that_differ_only_in_allowed_harms_are_planned_apart() -> None:
    request = ScoreRequest(COMMENT, text="x")
    found = plan(request, ScoreRequest(COMMENT, text="x", allowed=frozenset({"sexism"})))
    assert (places(found), errors(found)) == ({"spam": [0]}, [(1, None, NoModel)])


def not_served(absent: dict[str, Absent], harms: tuple[str, ...] | None = None) -> list[str]:
    inputs = [settle(0, ScoreRequest(COMMENT, harms, text="x"), {})]
    fetched = Fetched(missing(ROLES, 1), np.zeros((1, len(ROLES)), np.int64), [Links()])
    found = HarmPlanner(POLICIES).plan(inputs, fetched, Lineup(absent=absent), True)
    assert all(isinstance(one.error, Unavailable | NoModel) for one in found.errors)
    return [str(one.error) for one in found.errors]


def test_the_error_says_which_champions_are_still_being_loaded() -> None:
    assert not_served({"spam": Absent("3", "loading")}, ("spam", "sexism")) == [
        "Version 3 of spam is still being loaded. Try again in a second.",
        "No model version of sexism is published. Train one: leads train sexism",
    ]


@pytest.mark.parametrize(
    ("absent", "says"),
    [
        (
            Absent("3", "damaged"),
            "Version 3 of spam is damaged and is being fetched again. Try again in a few seconds.",
        ),
        (Absent("3", "lost"), "Version 3 of spam is damaged and couldn't be fetched again, so spam can't be scored."),
        (Absent("3", "refused"), "Version 3 of spam was refused, so spam can't be scored. GET /v1/models says why."),
    ],
)
def test_the_error_says_why_the_champion_does_not_serve_and_what_to_do(absent: Absent, says: str) -> None:
    (found,) = not_served({"spam": absent}, ("spam",))
    assert found.startswith(says)
    assert ("MLflow" in found) is (absent.why == "lost")


def test_of_several_harms_the_error_names_the_one_that_is_served_soonest() -> None:
    absent = {"spam": Absent("3", "refused"), "sexism": Absent("1", "damaged")}
    (found,) = not_served(absent)
    assert found.startswith("Version 1 of sexism is damaged")

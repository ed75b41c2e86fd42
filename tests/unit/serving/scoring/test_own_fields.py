"""Fields that come with a request count as if the item had been edited."""

from __future__ import annotations

import numpy as np

from features.declared.compile import Declarations, compile_features
from features.evaluate.columns import contract_for, evaluate
from features.layout import missing
from features.links import Links
from features.online.reader import Fetched
from leads import clock
from leads.events import Subject
from leads.platform.built_in import BUILT_IN_FEATURES
from leads.platform.features import FeatureDeclaration
from serving.scoring.inputs import Input, ScoreRequest
from serving.scoring.own_fields import overridden, put_given

NOW = clock.from_text("2026-03-01T12:00:00Z")
OWN = {
    "item.explicit": FeatureDeclaration(field="explicit", unit="flag", meaning="marked as explicit"),
    "item.is_news": FeatureDeclaration(field="genre", equals="news", unit="flag", meaning="marked as news"),
    "account.verified": FeatureDeclaration(field="verified", unit="flag", meaning="by a verified account"),
}
FEATURES = compile_features(Declarations({**BUILT_IN_FEATURES, **OWN}, {}, {}), 3)


def given(place: int, type_id: str, **fields: object) -> Input:
    request = ScoreRequest(Subject(type_id, f"{place}"), fields=fields)  # type: ignore[arg-type]
    return Input(place, request, None, None, None, True, ())


def columns(inputs: list[Input]) -> dict[str, list[float]]:
    """The values of `OWN` by name, for subjects without any row."""
    n = len(inputs)
    rows = {role: np.broadcast_to(each[:1], each.shape) for role, each in missing(FEATURES.roles, n).items()}
    fetched = Fetched(dict(rows), np.zeros((n, len(rows)), np.int64), [Links()] * n, FEATURES)
    put_given(fetched, inputs, NOW)
    contract = contract_for(text=False, features=FEATURES)
    matrix = evaluate(contract, fetched.packed, np.full(n, NOW), [None] * n, FEATURES).matrix
    return {name: matrix[:, contract.names.index(name)].tolist() for name in OWN}


def test_given_fields_reach_the_features_of_their_subject_only() -> None:
    inputs = [
        given(0, "episode", explicit=True, genre="news"),
        given(1, "episode", explicit=False),
        given(2, "episode", title="no field that a feature reads"),
        given(3, "account", verified=True),
        given(4, "episode", verified=True),
    ]
    found = columns(inputs)
    np.testing.assert_array_equal(found["item.explicit"], [1, 0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found["item.is_news"], [1, np.nan, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(found["account.verified"], [np.nan, np.nan, np.nan, 1, np.nan])
    assert overridden(inputs, FEATURES.own_fields) == [0, 1, 3, 4]


def test_nothing_is_copied_where_nothing_is_given() -> None:
    rows = missing(FEATURES.roles, 1)
    fetched = Fetched(dict(rows), np.zeros((1, len(rows)), np.int64), [Links()], FEATURES)
    put_given(fetched, [given(0, "episode")], NOW)
    assert all(fetched.packed[role] is row for role, row in rows.items())

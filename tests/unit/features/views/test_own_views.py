"""Own views in a set of features: contract, evaluation, ages and rules."""

from __future__ import annotations

import numpy as np
import pytest

from features.contract import FeatureContract
from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.generations import DeclaredFeatures, compiled
from features.evaluate.columns import contract_for, evaluate, unsatisfied
from features.evaluate.plan import Evaluated
from features.layout import missing, row_instants
from features.views.declaration import ColumnDeclaration
from leads import clock
from leads.policies import FeatureRule
from tests.support.features.own_views import COLUMNS, features_with, trust

AT = clock.from_text("2026-03-15T12:02:03.456789Z")
NAN = np.nan


def evaluated(features: FeatureSet, contract: FeatureContract, ago: list[int], values: list[list[float]]) -> Evaluated:
    """The contract at AT, with rows of this age (µs); -1 for none."""
    at = np.array([0 if one < 0 else AT - one for one in ago])
    rows = missing(features.roles, len(ago)) | {"view:trust": features.views[0].rows(at, np.array(values))}
    instants = row_instants(rows)[:, -1]
    np.testing.assert_array_equal(instants, at)
    return evaluate(contract, rows, np.full(len(ago), AT), [None] * len(ago), features)


def test_a_view_is_a_role_with_its_columns_after_the_declared_features() -> None:
    features = features_with(trust=trust())
    assert [*features.roles] == [*BUILTIN.roles, "view:trust"]
    contract = contract_for(text=False, features=features)
    assert contract.names == (
        *(one.name for one in BUILTIN.defaults),
        "trust:level",
        "trust:refunds",
        "trust:is_partner",
    )
    assert all(column.definition for column in contract.columns[-3:])
    assert FeatureContract.from_json(contract.to_json()) == contract
    assert features.without_views.stored == BUILTIN.stored
    assert features.by_name["trust:level"].view == "view:trust"


@pytest.mark.parametrize("number", [2, 3])
def test_values_are_read_as_they_are_and_missing_ones_are_nan(number: int) -> None:
    features = compiled(DeclaredFeatures(views={"trust": trust()}), number)
    contract = contract_for(text=False, features=features)
    values = [[3.0, NAN, 1.0], [-1e30, 0.25, 0.0], [7.0, 7.0, 7.0]]
    found = evaluated(features, contract, [0, clock.DAY, -1], values).matrix[:, -3:]
    np.testing.assert_array_equal(found, np.float32([[3, NAN, 1], [-1e18, 0.25, 0], [NAN] * 3]))


def test_the_views_ttl_limits_ages_unless_a_rule_does() -> None:
    features = features_with(trust=trust(max_age_s=3_600.0))
    ages = [0, 2 * clock.HOUR, 25 * clock.HOUR, -1]
    values = [[1.0, 1.0, 1.0]] * 4

    def levels(*rules: FeatureRule) -> Evaluated:
        found = evaluated(features, contract_for(text=False, rules=rules, features=features), ages, values)
        return found._replace(matrix=found.matrix[:, -3])

    plain = levels()
    np.testing.assert_array_equal(plain.matrix, [1, NAN, NAN, NAN])
    np.testing.assert_array_equal(plain.too_old, [False, True, True, False])
    longer = levels(FeatureRule(match="trust:*", max_age_days=1, when_missing="default", default=-5))
    np.testing.assert_array_equal(longer.matrix, [1, 1, -5, -5])
    refusing = levels(FeatureRule(match="trust:*", when_missing="refuse"))
    level = len(BUILTIN.defaults)
    np.testing.assert_array_equal(refusing.refused, [-1, level, level, level])


def test_a_contract_is_unsatisfied_without_the_view_and_with_another_source_or_type() -> None:
    contract = contract_for(text=False, features=features_with(trust=trust()))
    assert unsatisfied(contract, features_with(trust=trust())) is None
    assert unsatisfied(contract, features_with(trust=trust(path="/moved.parquet", max_age_s=1.0))) is None
    assert "LEADS_FEATURE_VIEWS" in (unsatisfied(contract) or "")
    assert "changed" in (unsatisfied(contract, features_with(trust=trust(source="other"))) or "")
    other = {**COLUMNS, "level": ColumnDeclaration(dtype="float32", meaning="trust level")}
    assert "changed" in (unsatisfied(contract, features_with(trust=trust(columns=other))) or "")


def test_a_view_whose_key_is_gone_is_left_out() -> None:
    assert features_with(trust=trust(join_key="ip_key")).views == ()


def test_views_are_recorded_and_read_back() -> None:
    declared = DeclaredFeatures(views={"trust": trust()})
    assert DeclaredFeatures.model_validate_json(declared.written) == declared
    assert "views" not in DeclaredFeatures().written


def test_columns_for_own_models_only_come_last() -> None:
    level = ColumnDeclaration(dtype="int64", meaning="trust level", default=False)
    features = features_with(trust=trust(columns={**COLUMNS, "level": level}))
    assert "trust:level" not in contract_for(text=True, features=features).names
    assert contract_for(text=True, features=features, optional=True).names[-1] == "trust:level"

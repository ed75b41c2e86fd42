"""Turns stored rows and text into a model's input. Training, batch and online scoring all use this module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Protocol

import msgspec
import numpy as np

from features.contract import Column, FeatureContract, WhenMissing
from features.declared.builtin import BUILTIN
from features.declared.feature_set import Feature, FeatureSet
from features.evaluate.plan import Evaluated, Plan
from features.layout import Instants, Matrix, missing
from features.text_features import TEXT, TEXT_BY_NAME

ENCODER_VERSION = "counts-3"
FEATURE_SERVICE = "leads_v1"


class Rule(Protocol):
    """A policy's rule for the features whose names match. `leads.policies.FeatureRule` implements it."""

    @property
    def match(self) -> str: ...
    @property
    def max_age_s(self) -> float | None: ...
    @property
    def when_missing(self) -> WhenMissing: ...
    @property
    def default(self) -> float: ...


def contract_for(
    *, text: bool, rules: Sequence[Rule] = (), features: FeatureSet = BUILTIN, optional: bool = False
) -> FeatureContract:
    """A contract with every stored feature and, if the harm judges text, every text feature.

    Args:
        rules: limits on age, and what to do without a value. The first rule that matches a column applies.
        features: of which those with `default` are in the contract.
        optional: put the others behind them.
    """
    stored = [_column_of(one) for one in features.defaults]
    others = [_column_of(one) for one in features.stored if optional and not one.default]
    texts = [Column(feature.name) for feature in TEXT] if text else []
    return FeatureContract(
        feature_service=FEATURE_SERVICE,
        columns=tuple(_ruled(column, rules) for column in (*stored, *texts, *others)),
        encoder_version=ENCODER_VERSION,
    )


def unsatisfied(contract: FeatureContract, features: FeatureSet = BUILTIN) -> str | None:
    """Why these features can't evaluate the contract as intended; None if they can."""
    for column in contract.columns:
        feature = features.by_name.get(column.name)
        if feature is None and column.name not in TEXT_BY_NAME:
            return f"The contract needs the feature {column.name}, which doesn't exist here.{_origin(column)}"
        if feature is not None and feature.definition != column.definition:
            return f"The contract needs the feature {column.name} as it was declared before: its declaration changed."
    if contract.encoder_version != ENCODER_VERSION:
        return f"The contract uses encoder {contract.encoder_version}; this version of the code has {ENCODER_VERSION}."
    return None


def evaluate(
    contract: FeatureContract,
    packed: Mapping[str, Matrix],
    as_of: Instants,
    texts: Sequence[str | None],
    features: FeatureSet = BUILTIN,
) -> Evaluated:
    """Evaluate the contract with its compiled plan; see `Plan.evaluate`.

    Raises:
        NotDeclared: the contract names a feature that doesn't exist, or that is declared otherwise now.
    """
    return plan_of(contract, features).evaluate(packed, as_of, texts)


# More than any process has contracts in use, by harm, role and generation of features.
@lru_cache(maxsize=512)
def plan_of(contract: FeatureContract, features: FeatureSet = BUILTIN) -> Plan:
    """The contract's plan, compiled once per process."""
    return Plan(contract, features)


def text_only(contract: FeatureContract, texts: Sequence[str | None], features: FeatureSet = BUILTIN) -> Matrix:
    """(n, columns) the contract's input for n subjects without stored rows; only their texts, if any, are known."""
    n = len(texts)
    return evaluate(contract, missing(features.roles, n), np.zeros(n, dtype=np.int64), texts, features).matrix


def _column_of(feature: Feature) -> Column:
    return Column(feature.name, max_age_s=feature.max_age_s, definition=feature.definition)


def _ruled(column: Column, rules: Sequence[Rule]) -> Column:
    """The column with the first rule that matches; a view's own maximum age counts where the rule has none."""
    for rule in rules:
        if fnmatchcase(column.name, rule.match):
            return msgspec.structs.replace(
                column,
                max_age_s=column.max_age_s if rule.max_age_s is None else rule.max_age_s,
                when_missing=rule.when_missing,
                default=rule.default,
            )
    return column


def _origin(column: Column) -> str:
    if ":" in column.name:
        return " It was a column of a feature view of your own: see LEADS_FEATURE_VIEWS."
    return " It was declared in platform.yaml." if column.definition else ""

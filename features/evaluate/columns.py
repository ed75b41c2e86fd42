"""From stored rows and text to a model's input: the one way for training, batch and online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Protocol

import numpy as np

from features.catalogue import ALL, BY_NAME, STORED
from features.contract import Column, FeatureContract, WhenMissing
from features.evaluate.plan import Evaluated, Plan
from features.layout import Instants, Matrix, missing

ENCODER_VERSION = "counts-2"
FEATURE_SERVICE = "leads_v1"


class Rule(Protocol):
    """What a policy says of the features whose names match; `leads.policies.FeatureRule` is one."""

    @property
    def match(self) -> str: ...
    @property
    def max_age_s(self) -> float | None: ...
    @property
    def when_missing(self) -> WhenMissing: ...
    @property
    def default(self) -> float: ...


def contract_for(*, text: bool, rules: Sequence[Rule] = ()) -> FeatureContract:
    """Every stored feature, and for harms judged by text the text counts too.

    Args:
        rules: maximum ages and what to do without a value; of those that match a column the first holds.
    """
    return FeatureContract(
        feature_service=FEATURE_SERVICE,
        columns=tuple(_column(feature.name, rules) for feature in (ALL if text else STORED)),
        encoder_version=ENCODER_VERSION,
    )


def unsatisfied(contract: FeatureContract) -> str | None:
    """Why this code can't evaluate a contract as it was meant; None when it can."""
    unknown = [name for name in contract.names if name not in BY_NAME]
    if unknown:
        return f"This code has no feature {unknown[0]}, which the contract names."
    if contract.encoder_version != ENCODER_VERSION:
        return f"The features were encoded by {contract.encoder_version}; this code encodes by {ENCODER_VERSION}."
    return None


def evaluate(
    contract: FeatureContract, packed: Mapping[str, Matrix], as_of: Instants, texts: Sequence[str | None]
) -> Evaluated:
    """`Plan.evaluate` of the contract's plan.

    Raises:
        KeyError: the contract names a feature that this version of the code doesn't have.
    """
    return plan_of(contract).evaluate(packed, as_of, texts)


@lru_cache(maxsize=64)
def plan_of(contract: FeatureContract) -> Plan:
    """The contract's plan, compiled once per process."""
    return Plan(contract)


def of_texts(contract: FeatureContract, texts: Sequence[str | None]) -> Matrix:
    """(n, k) the contract's columns where nothing is known of n subjects but their texts, if that."""
    n = len(texts)
    return evaluate(contract, missing(n), np.zeros(n, dtype=np.int64), texts).matrix


def _column(name: str, rules: Sequence[Rule]) -> Column:
    for rule in rules:
        if fnmatchcase(name, rule.match):
            return Column(name, max_age_s=rule.max_age_s, when_missing=rule.when_missing, default=rule.default)
    return Column(name)

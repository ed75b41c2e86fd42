"""Turns stored rows and text into a model's input. Training, batch and online scoring all use this module."""

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


def contract_for(*, text: bool, rules: Sequence[Rule] = ()) -> FeatureContract:
    """A contract with every stored feature and, if the harm judges text, every text feature.

    Args:
        rules: limits on age, and what to do without a value. The first rule that matches a column applies.
    """
    return FeatureContract(
        feature_service=FEATURE_SERVICE,
        columns=tuple(_column(feature.name, rules) for feature in (ALL if text else STORED)),
        encoder_version=ENCODER_VERSION,
    )


def unsatisfied(contract: FeatureContract) -> str | None:
    """Why this code can't evaluate the contract as intended; None if it can."""
    unknown = [name for name in contract.names if name not in BY_NAME]
    if unknown:
        return f"The contract needs the feature {unknown[0]}, which this version of the code doesn't have."
    if contract.encoder_version != ENCODER_VERSION:
        return f"The contract uses encoder {contract.encoder_version}; this version of the code has {ENCODER_VERSION}."
    return None


def evaluate(
    contract: FeatureContract, packed: Mapping[str, Matrix], as_of: Instants, texts: Sequence[str | None]
) -> Evaluated:
    """Evaluate the contract with its compiled plan; see `Plan.evaluate`.

    Raises:
        KeyError: the contract names a feature that this version of the code doesn't have.
    """
    return plan_of(contract).evaluate(packed, as_of, texts)


@lru_cache(maxsize=64)
def plan_of(contract: FeatureContract) -> Plan:
    """The contract's plan, compiled once per process."""
    return Plan(contract)


def text_only(contract: FeatureContract, texts: Sequence[str | None]) -> Matrix:
    """(n, columns) the contract's input for n subjects without stored rows; only their texts, if any, are known."""
    n = len(texts)
    return evaluate(contract, missing(n), np.zeros(n, dtype=np.int64), texts).matrix


def _column(name: str, rules: Sequence[Rule]) -> Column:
    for rule in rules:
        if fnmatchcase(name, rule.match):
            return Column(name, max_age_s=rule.max_age_s, when_missing=rule.when_missing, default=rule.default)
    return Column(name)

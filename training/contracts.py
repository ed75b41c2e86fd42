"""The contracts that training works with, and the check that a version's contract can be evaluated here."""

from __future__ import annotations

from features.contract import FeatureContract
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import contract_for, unsatisfied
from leads.errors import ModelRefused
from leads.policies import HarmPolicy
from models.version import ModelVersion


def harm_contract(policy: HarmPolicy, features: FeatureSet) -> FeatureContract:
    """The contract of the versions that are trained for a harm."""
    return contract_for(text=policy.text, rules=policy.features, features=features)


def whole_contract(policy: HarmPolicy, features: FeatureSet) -> FeatureContract:
    """The harm's contract, then the features with `default: false`, which versions of your own may take."""
    return contract_for(text=policy.text, rules=policy.features, features=features, optional=True)


def check_satisfied(version: ModelVersion, features: FeatureSet) -> None:
    """Raise ModelRefused if these features lack one that a version was trained with, or declare it differently."""
    why = unsatisfied(version.contract, features)
    if why:
        remedy = f"Train the harm again: leads train {version.harm}"
        raise ModelRefused(why, field="contract.json", remedy=remedy)

"""Which own views can be verified, and which of their rows a prediction's contract reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.contract import FeatureContract
from features.declared.feature_set import FeatureSet
from leads.settings import Settings
from monitoring.skew.logged import NOT_READ, LoggedPredictions

# Others may keep event times in whole seconds only, so that a served row can't be found in the source.
_EXACT_STORES = ("sqlite", "redis")


def columns_unverifiable(settings: Settings, contract: FeatureContract, features: FeatureSet) -> list[str]:
    """The columns of own views for which it isn't known when their values became available."""
    exact = settings.online_store in _EXACT_STORES
    views = {view.view for view in features.views if not (exact and view.is_verifiable)}
    return [name for name in contract.names if name in features.by_name and features.by_name[name].view in views]


def only_verifiable(
    predictions: LoggedPredictions, contract: FeatureContract, features: FeatureSet, left_out: list[str]
) -> LoggedPredictions:
    """The predictions without the times of own views' rows, unless the contract has columns of them to verify."""
    read = {features.by_name[name].view for name in contract.names if ":" in name and name not in left_out}
    gone = [i for i, role in enumerate(features.roles) if role.startswith("view:") and role not in read]
    if not gone:
        return predictions
    row_at = predictions.row_at.copy()
    row_at[:, np.array(gone)] = NOT_READ
    return replace(predictions, row_at=row_at)

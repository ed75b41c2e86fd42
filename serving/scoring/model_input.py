"""From a group's stored rows and texts to the input of its model version."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import numpy as np

from features.contract import Column, FeatureContract
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import plan_of
from features.evaluate.plan import Evaluated, NotDeclared
from features.layout import DAY_S, Matrix
from leads.errors import Unavailable
from leads.events import ACCOUNT
from leads.messages.wording import counted
from serving.scoring.groups import VersionGroup
from serving.scoring.texts.cache import TextCache, version_key

_EXPOSURE = FeatureContract("exposure", (Column("item.plays_24h"), Column("account.plays_24h")), "")


def evaluate(group: VersionGroup, contract: FeatureContract, cache: TextCache) -> Evaluated:
    """The contract's columns for the group's n inputs, and which inputs its rules refuse."""
    plan, texts = plan_of(contract, group.context.fetched.features), group.texts
    counts = cache.counts(texts) if plan.reads_text else None
    return plan.evaluate(group.packed, group.instants, texts.values, counts)


def prepare(contracts: Iterable[FeatureContract], features: FeatureSet) -> None:
    """Compile what scoring by these contracts with these features needs, so that no request waits for it.

    Contracts that need other features are left out: they aren't scored with these.
    """
    for contract in (_EXPOSURE, *contracts):
        with suppress(NotDeclared):
            plan_of(contract, features)


def model_vector(group: VersionGroup, features: Evaluated, cache: TextCache) -> Matrix:
    """(n, m) float32, the booster's input: the contract's columns, then the text score if the version uses text."""
    version = group.version
    if not version.uses_text:
        return features.matrix
    column = cache.scores(version_key(version), group.texts, version.text_scores)
    return np.concatenate((features.matrix, column[:, None]), axis=1)


def rule_error(harm: str, column: Column) -> Unavailable:
    """The error of an input that isn't scored because this column's value is missing or too old."""
    too_old = "" if column.max_age_s is None else f" or older than {counted(column.max_age_s / DAY_S, 'day')}"
    return Unavailable(
        f"{harm} can't be scored: {column.name} is missing{too_old}.",
        field=column.name,
        remedy="Check that the worker runs: leads status. The harm's `features` in policies.yaml set this rule.",
    )


def exposures(group: VersionGroup) -> list[float]:
    """(n,) 1 + ln(1 + plays in the last 24 hours): plays of an item by others, plays of an account by itself."""
    plays = (
        plan_of(_EXPOSURE, group.context.fetched.features)
        .evaluate(group.packed, group.instants, group.texts.values)
        .matrix
    )
    is_account = [one.request.subject.type_id == ACCOUNT for one in group.inputs]
    counted = np.nan_to_num(np.where(is_account, plays[:, 1], plays[:, 0]).astype(np.float64))
    found: list[float] = np.round(1 + np.log1p(counted), 6).tolist()
    return found

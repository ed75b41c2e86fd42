"""From stored rows and text to a model's input: the one function for training, batch and online."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import reduce
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from features.catalogue import ALL, BY_NAME, STORED, Feature, TextFeature
from features.contract import Column, FeatureContract, WhenMissing
from features.rows import ROLES, Instants, Matrix, missing
from features.windows import Rows

ENCODER_VERSION = "counts-2"
FEATURE_SERVICE = "leads_v1"
_ROLES_OF: dict[str, tuple[str, ...]] = {
    view: tuple(role for role, layout in ROLES.items() if layout.view == view)
    for view in dict.fromkeys(layout.view for layout in ROLES.values())
}


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


class Evaluated(NamedTuple):
    """A contract's input for n subjects.

    Args:
        matrix: (n, columns) float32.
        refused: (n,) the first column whose rule refuses a score, -1 where none does.
        too_old: (n,) whether a stored value was older than its column allows.
    """

    matrix: Matrix
    refused: npt.NDArray[np.int64]
    too_old: npt.NDArray[np.bool_]


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
    """The one place where stored rows and text become model input, and where the contract's rules are applied.

    Args:
        packed: for each role (n, width) float32, NaN rows for missing entities.
        as_of: (n,) instants in µs at which the features are evaluated.
        texts: (n,) texts; None where the subject has none.

    Raises:
        KeyError: the contract names a feature that this version of the code doesn't have.
    """
    matrix = np.empty((len(as_of), len(contract.columns)), dtype=np.float32)
    refused = np.full(len(as_of), -1, dtype=np.int64)
    too_old = np.zeros(len(as_of), dtype=np.bool_)
    stored = {
        view: [Rows(ROLES[role], packed[role], as_of) for role in _ROLES_OF[view]] for view in _views_of(contract)
    }
    for j, column in enumerate(contract.columns):
        feature = BY_NAME[column.name]
        if isinstance(feature, TextFeature):
            matrix[:, j] = [np.nan if text is None else feature.compute(text) for text in texts]
            absent = np.array([text is None for text in texts], dtype=np.bool_) if column.ruled else None
        else:
            parts = stored[feature.view]
            values = [feature.compute(part) for part in parts]
            absent = _leave_out_the_old(column, parts, values, too_old) if column.ruled else None
            matrix[:, j] = reduce(np.fmax, values)
        if absent is not None:
            _apply_rule(column, j, absent, matrix, refused)
    return Evaluated(matrix, refused, too_old)


def of_texts(contract: FeatureContract, texts: Sequence[str | None]) -> Matrix:
    """(n, k) the contract's columns where nothing is known of n subjects but their texts, if that."""
    n = len(texts)
    return evaluate(contract, missing(n), np.zeros(n, dtype=np.int64), texts).matrix


def _leave_out_the_old(
    column: Column, parts: Sequence[Rows], values: list[Matrix], too_old: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Blank the values of rows older than the column allows, and note whose; returns who is left without any."""
    limit = np.inf if column.max_age_s is None else column.max_age_s
    absent = np.ones(len(too_old), dtype=np.bool_)
    for i, part in enumerate(parts):
        known = np.isfinite(part.age_s)
        fresh = known & (part.age_s <= limit)
        values[i] = np.where(fresh, values[i], np.float32(np.nan))
        np.logical_or(too_old, known & ~fresh, out=too_old)
        absent &= ~fresh
    return absent


def _apply_rule(
    column: Column, j: int, absent: npt.NDArray[np.bool_], matrix: Matrix, refused: npt.NDArray[np.int64]
) -> None:
    """What an absent or too old value becomes."""
    matrix[absent, j] = column.default if column.when_missing == "default" else np.nan
    if column.when_missing == "refuse":
        refused[absent & (refused < 0)] = j


def _views_of(contract: FeatureContract) -> set[str]:
    views = (BY_NAME[column.name] for column in contract.columns)
    return {feature.view for feature in views if isinstance(feature, Feature)}


def _column(name: str, rules: Sequence[Rule]) -> Column:
    for rule in rules:
        if fnmatchcase(name, rule.match):
            return Column(name, max_age_s=rule.max_age_s, when_missing=rule.when_missing, default=rule.default)
    return Column(name)

"""The feature contract: a model's exact input columns in order, and a hash by which two sides compare contracts."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from leads.errors import ModelRefused

WhenMissing = Literal["null", "default", "refuse"]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One column of a model's input.

    Args:
        name: `view.feature`, as declared, or `view:column` of a feature view of the user's own.
        dtype: type of the column in the matrix.
        max_age_s: maximum age of the stored row, in seconds since its newest event became visible. None: any age, since
            features are evaluated as of the requested time anyway.
        when_missing: what to use if the value is absent or too old: NaN (`null`), `default`, or no score (`refuse`).
        definition: hash of how the platform declares the feature; empty for a built-in one.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*[.:][a-z0-9_]+$")]
    dtype: Literal["float32"] = "float32"
    max_age_s: float | None = None
    when_missing: WhenMissing = "null"
    default: float = 0.0
    definition: str = ""

    @property
    def has_rule(self) -> bool:
        """Whether the column limits the row's age or does something other than NaN when the value is missing."""
        return self.max_age_s is not None or self.when_missing != "null"


class FeatureContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The features that a model version needs, in order."""

    feature_service: str
    columns: tuple[Column, ...]
    encoder_version: str

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def hash(self) -> str:
        """Twelve hex digits of SHA-256 over the canonical JSON."""
        return hashlib.sha256(self.to_json()).hexdigest()[:12]

    def to_json(self) -> bytes:
        """Canonical JSON: equal contracts give equal bytes."""
        return msgspec.json.encode(self, order="sorted")

    @staticmethod
    def from_json(raw: bytes) -> FeatureContract:
        """Raises ModelRefused when the bytes are not a valid contract."""
        try:
            return msgspec.json.decode(raw, type=FeatureContract)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"contract.json is not a valid feature contract: {error}.") from error

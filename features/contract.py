"""The feature contract: the exact ordered input of a model, and the hash that two sides compare."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from leads.errors import ModelRefused

WhenMissing = Literal["null", "default", "refuse"]


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One named feature.

    Args:
        name: `view.feature`, as `features.catalogue` declares it.
        dtype: of the column in the matrix.
        max_age_s: oldest acceptable stored row in seconds since its newest event became visible; None: any age, since
            features are evaluated at the instant.
        when_missing: what an absent or too old value becomes: NaN, `default`, or no score at all.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z]+\.[a-z0-9_]+$")]
    dtype: Literal["float32"] = "float32"
    max_age_s: float | None = None
    when_missing: WhenMissing = "null"
    default: float = 0.0

    @property
    def ruled(self) -> bool:
        """Whether anything is asked of the value's age or presence beyond NaN where it is missing."""
        return self.max_age_s is not None or self.when_missing != "null"


class FeatureContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model version needs from the feature store, in order."""

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
        """Canonical: equal contracts give equal bytes."""
        return msgspec.json.encode(self, order="sorted")

    @staticmethod
    def from_json(raw: bytes) -> FeatureContract:
        """Raises ModelRefused when the bytes hold no contract."""
        try:
            return msgspec.json.decode(raw, type=FeatureContract)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"contract.json is not a feature contract: {error}.") from error

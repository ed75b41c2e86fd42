"""The scores at which a version's tiers start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from leads.errors import ModelRefused
from leads_client.fields import Tier

_Score = Annotated[float, Meta(ge=0, le=1)]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lowest score of each tier, None if the version doesn't offer the tier; `why` explains each by tier."""

    review: _Score | None
    auto: _Score | None
    why: Mapping[str, str]

    def tier(self, score: float) -> Tier:
        """The tier of a score.

        >>> Thresholds(0.3, None, {}).tier(0.99)
        'review'
        """
        if self.auto is not None and score >= self.auto:
            return "auto"
        if self.review is not None and score >= self.review:
            return "review"
        return "none"

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(raw: bytes) -> Thresholds:
        """Parse thresholds. Raises ModelRefused if the bytes hold none."""
        try:
            return msgspec.json.decode(raw, type=Thresholds)
        except msgspec.MsgspecError as error:
            raise ModelRefused(f"thresholds.json is invalid: {error}.") from error

"""Which versions a harm has at work: one answers, one may answer for a share, one may be compared in shadow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType

from models.version import ModelVersion


@dataclass(frozen=True)
class Canary:
    """A version that answers for `share` of the subjects, always the same ones."""

    version: ModelVersion
    share: float

    def takes(self, subject_key: str) -> bool:
        """Whether it answers for this subject: the same in every process and for every version.

        >>> Canary(None, 0.0).takes("comment:c1"), Canary(None, 1.0).takes("comment:c1")
        (False, True)
        """
        raw = blake2b(subject_key.encode("utf-8", "replace"), digest_size=8, person=b"leads-canary").digest()
        return int.from_bytes(raw) < self.share * 2**64


@dataclass(frozen=True)
class Lineup:
    """Loaded and proven versions by harm; replaced as a whole, never changed."""

    champions: Mapping[str, ModelVersion] = field(default_factory=lambda: MappingProxyType({}))
    canaries: Mapping[str, Canary] = field(default_factory=lambda: MappingProxyType({}))
    challengers: Mapping[str, ModelVersion] = field(default_factory=lambda: MappingProxyType({}))

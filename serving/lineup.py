"""Which versions of each harm are in use: a champion, perhaps a canary for a share, perhaps a challenger in shadow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from models.version import ModelVersion


@dataclass(frozen=True)
class Canary:
    """A version that answers for `share` of the subjects (0 to 1), always the same ones."""

    version: ModelVersion
    share: float

    def takes(self, subject_key: str) -> bool:
        """Whether it answers for this subject. Every process and every version gives the same result.

        >>> Canary(None, 0.0).takes("comment:c1"), Canary(None, 1.0).takes("comment:c1")
        (False, True)
        """
        raw = blake2b(subject_key.encode("utf-8", "replace"), digest_size=8, person=b"leads-canary").digest()
        return int.from_bytes(raw) < self.share * 2**64


class Absent(NamedTuple):
    """Why a harm has no champion in this process, although it should have one.

    Args:
        version: the one that should serve.
        why: `loading`: it is being loaded; `damaged`: its files are damaged, and are being fetched again; `lost`: the
            same, but they can't be fetched at present, for example because MLflow is down; `refused`: it failed its
            checks.
    """

    version: str
    why: Literal["loading", "damaged", "lost", "refused"]


@dataclass(frozen=True)
class Lineup:
    """The loaded and verified versions, by harm. Immutable: a new line-up replaces it as a whole.

    Args:
        absent: the harms that should have a champion, but have none.
    """

    champions: Mapping[str, ModelVersion] = field(default_factory=lambda: MappingProxyType({}))
    canaries: Mapping[str, Canary] = field(default_factory=lambda: MappingProxyType({}))
    challengers: Mapping[str, ModelVersion] = field(default_factory=lambda: MappingProxyType({}))
    absent: Mapping[str, Absent] = field(default_factory=lambda: MappingProxyType({}))


class LineupSource(Protocol):
    """Gives the current line-up, as `serving.versions.published.PublishedVersions` does."""

    def lineup(self) -> Lineup: ...

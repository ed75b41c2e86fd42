"""How keys are divided between workers."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True)
class Partition:
    """Share `index` of `count` shares into which each view's keys are split."""

    index: int = 0
    count: int = 1

    def owns(self, view: str, key: str) -> bool:
        """Whether this partition holds the key's row."""
        return self.count == 1 or crc32(f"{view}\0{key}".encode()) % self.count == self.index


# The only partition when keys are not split.
WHOLE = Partition()

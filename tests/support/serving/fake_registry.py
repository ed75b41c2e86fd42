"""Versions in memory, which can be down, lost or unreadable: the registry that a follower reads."""

from __future__ import annotations

import shutil
from pathlib import Path

from leads.errors import Unavailable
from models.registry.versions import RETIRED
from models.write import write_version
from tests.support.serving.world import make_parts


class FakeRegistry:
    """A `TagReader`.

    Args:
        source: where the registered versions are kept.
    """

    def __init__(self, source: Path) -> None:
        self.source = source
        self.named: dict[str, dict[str, str]] = {}
        self.down = False
        self.lost: set[str] = set()
        self.unreadable: set[str] = set()
        self.fetched: list[str] = []
        self.asked = 0
        self.tags: dict[str, str] = {}
        self.retired: dict[str, str] = {}

    def register(self, harm: str, version: str, *, role: str = "champion", seed: int = 0) -> Path:
        folder = self.source / harm / version
        write_version(folder, make_parts(harm, seed=seed))
        (folder / "version.txt").write_text(version, encoding="utf-8")
        self.named.setdefault(harm, {})[role] = version
        return folder

    def aliases(self, harm: str) -> dict[str, str]:
        self.asked += 1
        if self.down or harm in self.unreadable:
            raise Unavailable("MLflow doesn't answer.")
        return dict(self.named.get(harm, {}))

    def tags_of(self, harm: str, version: str) -> dict[str, str]:
        return self.tags | ({RETIRED: self.retired[version]} if version in self.retired else {})

    def fetch(self, harm: str, version: str, into: Path) -> Path:
        if self.down:
            raise Unavailable("MLflow doesn't answer.")
        if version in self.lost:
            raise Unavailable("The artifacts can't be reached.")
        if (into / version).is_dir():
            return into / version
        self.fetched.append(version)
        shutil.copytree(self.source / harm / version, into / version)
        return into / version


def tamper(folder: Path) -> None:
    """Change a byte of a version's booster."""
    raw = bytearray((folder / "booster.ubj").read_bytes())
    raw[-9] ^= 1
    (folder / "booster.ubj").write_bytes(raw)

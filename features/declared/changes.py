"""What a new declaration of features changes."""

from __future__ import annotations

from typing import NamedTuple

from features.contract import FeatureContract
from features.declared.generations import DeclaredFeatures, Generation, compiled
from features.layout import FIRST_NUMBER


class Changes(NamedTuple):
    """The names of features, by what happens to them. Of those that are `reworded`, only words or `default` change, or
    the place or age of an own view."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    reworded: tuple[str, ...]
    unchanged: tuple[str, ...]

    @property
    def needs_rows(self) -> bool:
        """Whether rows of a new generation have to be built. Columns of own views aren't in those rows."""
        return any(":" not in name for name in (*self.new, *self.changed, *self.removed))

    @property
    def names_more_than_words(self) -> bool:
        """Whether there are new, changed or removed features."""
        return bool(self.new or self.changed or self.removed)

    def missing_in(self, contract: FeatureContract) -> list[str]:
        """The columns of a contract that couldn't be computed any more."""
        gone = {*self.changed, *self.removed}
        return [name for name in contract.names if name in gone]


def changes(live: Generation, declared: DeclaredFeatures) -> Changes:
    """What becomes of the live features if these are declared instead."""
    before, after = live.features.by_name, compiled(declared, FIRST_NUMBER + 1).by_name
    common = [name for name in after if name in before]
    changed = [name for name in common if after[name].definition != before[name].definition]
    kept = [name for name in common if name not in changed and after[name].definition]
    was, now = live.declared, declared
    reworded = [name for name in kept if was.of(name) != now.of(name) or after[name].unit != before[name].unit]
    return Changes(
        tuple(name for name in after if name not in before),
        tuple(changed),
        tuple(name for name in before if name not in after),
        tuple(reworded),
        tuple(name for name in kept if name not in reworded),
    )

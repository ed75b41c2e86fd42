"""A sweep: every row of a fold's state is written to the online store, in the order of the keys.

That is how the online store gets its rows after a first pass over history: writing each entity once, at the end, is
much faster than writing it again each time it has changed. It is also how rows that an earlier release wrote get
today's form.
"""

from __future__ import annotations

from collections.abc import Iterator

from features.declared.feature_set import FeatureSet
from features.layout import visible_at
from features.online.writer import OnlineRow, OnlineWriter
from features.rows import unpack
from features.state.store import StateStore


class Sweep:
    """One pass over the state. Rows older than the stored ones are dropped, as in every online write.

    Args:
        rewriting: whether the online rows may be those of an earlier release.
    """

    def __init__(
        self, state: StateStore, online: OnlineWriter, features: FeatureSet, *, rewriting: bool = False
    ) -> None:
        self._online = online
        self._rewriting = rewriting
        self._features = features
        self._parts = _parts(state, features)

    def step(self) -> bool:
        """Write the next few thousand rows. Returns False if there are none left."""
        part = next(self._parts, None)
        if part is None:
            return False
        view, rows = part
        self._online.write_view(self._features.layout_of[view], rows, without_links=self._rewriting)
        return True

    def finish(self) -> None:
        """Write all rows that are left."""
        while self.step():
            pass


def _parts(state: StateStore, features: FeatureSet) -> Iterator[tuple[str, list[OnlineRow]]]:
    # Items come last: a reader that follows an item's links finds the rows that they point to.
    for layout in reversed(features.layouts):
        for stored in state.scan(layout.view):
            times = visible_at(unpack(layout, list(stored.values()))).tolist()
            yield layout.view, [(key, row, at) for (key, row), at in zip(stored.items(), times, strict=True)]

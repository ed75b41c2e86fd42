"""The durable state of a partition's fold: the newest row of each entity and what the router knows, by key.

A fold reads what a batch of events needs, in bulk, and now and then commits what it changed together with the offset of
the last event behind it. What it commits is exact: the state after that event and no other. `features.state_stores`
opens the store that the settings name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

# Increase this when values are stored in another form. A state in an earlier form counts as empty.
FORMAT = 2


class StateStore(Protocol):
    """Values by view and key, and the position that they are the state of. One process writes and reads.

    Every method raises Unavailable if the store fails or lost data, and Conflict if another worker has taken over the
    partition. After any error, close the store and open it again: its position says whether a commit took effect.
    """

    def position(self) -> int:
        """The offset of the last event behind the state; 0 for an empty one."""
        ...

    def get(self, view: str, keys: Sequence[str]) -> dict[str, bytes]:
        """The values of these distinct keys; unknown keys are absent."""
        ...

    def commit(self, position: int, changed: Mapping[str, Mapping[str, bytes]]) -> None:
        """Replace the changed values of each view and the position, all or nothing.

        A large commit may still be written when this returns. `changed` must not be modified afterwards.
        """
        ...

    def scan(self, view: str) -> Iterator[dict[str, bytes]]:
        """All values of a view by key, some at a time; of a value that changes meanwhile, the old or the new."""
        ...

    def close(self) -> None: ...

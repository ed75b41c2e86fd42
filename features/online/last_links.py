"""What subjects linked to when they were read last, so that the rows can be fetched before the links are known again.

It only saves round trips and never changes a result: the links that count are read with the rows every time.
"""

from __future__ import annotations

from typing import NamedTuple

from features.links import Links

# A generation of these takes about 5 MB.
LIMIT = 10_000


class Last(NamedTuple):
    """A subject's links, and the device that its account's row linked to."""

    links: Links = Links()
    device: str | None = None


class LastLinks:
    """The links of at most twice `limit` subjects, those used last. Thread-safe.

    When there are `limit`, they become the older generation, of which only what is used again survives the next.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._newer: dict[str, Last] = {}
        self._older: dict[str, Last] = {}

    def get(self, key: str) -> Last:
        """What is known of a subject; nothing if it is unknown."""
        found = self._newer.get(key)
        if found is None:
            found = self._older.get(key)
            if found is None:
                return _NOTHING
            self._newer[key] = found
        return found

    def put(self, key: str, links: Links, device: str | None) -> None:
        """Remember a subject's links."""
        self._newer[key] = Last(links, device)
        if len(self._newer) >= self._limit:
            self._newer, self._older = {}, self._newer


_NOTHING = Last()

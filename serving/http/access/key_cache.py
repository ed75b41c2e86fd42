"""The API keys that a process holds in memory, so that almost no request waits for the database to check its key."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Clock
from leads.db.keys import CACHE_S, ApiKey, StoredKey, invalid_key, parts_of, read_valid
from leads.errors import Unavailable

# How long keys are accepted while the database is down, and how often it is asked then.
OUTAGE_S = 60.0
OUTAGE_TTL_S = 1.0


class KeyCache:
    """All keys that aren't revoked, read again every few seconds. Thread-safe.

    A key that is already in memory is checked there, whether its secret is right or wrong. So a flood of invalid keys
    can't keep a valid one from being checked. Only an id that isn't in memory is looked up, because it may be new.

    While the database is down, keys that were read within the last minute are still accepted.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        ttl_s: float = CACHE_S,
        timer: Callable[[], float] = time.monotonic,
        clock_: Clock = clock.now,
    ) -> None:
        self._engine = engine
        self._ttl_s = ttl_s
        self._timer = timer
        self._clock = clock_
        self._keys: dict[str, StoredKey] = {}
        self._unknown: set[str] = set()
        self._read_at = self._good_until = -math.inf
        self._failure: tuple[float, Unavailable] | None = None
        self._lock = threading.Lock()

    @property
    def outdated(self) -> bool:
        """Whether the keys have to be read again. While a thread does that, others use those of the last minute."""
        now = self._timer()
        return now >= self._good_until and not (self._lock.locked() and now < self._read_at + OUTAGE_S)

    def refresh(self) -> None:
        """Read the keys, unless another thread has just done so. Blocks.

        Raises:
            Unavailable: the database is down, and has been for a minute.
        """
        with self._lock:
            now = self._timer()
            if now < self._good_until:
                return
            if self._failure is not None and now < self._failure[0]:
                raise self._failure[1]
            try:
                found = read_valid(self._engine)
            except Unavailable as error:
                # Not every request waits for the database to fail.
                until = self._timer() + OUTAGE_TTL_S
                if now >= self._read_at + OUTAGE_S:
                    self._failure = until, error
                    raise
                self._good_until = until
                return
            self._keys, self._unknown = found, set()
            self._read_at, self._good_until = now, now + self._ttl_s

    def recall(self, text: str) -> ApiKey | None:
        """The key; None if its id isn't in memory, so that it has to be looked up. Doesn't block.

        Raises:
            NotAuthenticated: malformed, a wrong secret, expired, or recently looked up in vain.
        """
        id_, secret = parts_of(text)
        stored = self._keys.get(id_)
        if stored is None and id_ not in self._unknown:
            return None
        if stored is None:
            raise invalid_key()
        return stored.verified(secret, self._clock())

    def look_up(self, text: str) -> ApiKey:
        """The key, read from the database if its id isn't in memory. Blocks.

        Raises:
            NotAuthenticated: as `recall`, or unknown, or revoked.
            Unavailable: the database is down.
        """
        key = self.recall(text)
        if key is not None:
            return key
        id_, secret = parts_of(text)
        stored = read_valid(self._engine, id_).get(id_)
        if stored is None:
            self._unknown.add(id_)
            raise invalid_key()
        # A key that is revoked by now is kept no longer than one that was read with the others.
        self._keys[id_] = stored
        return stored.verified(secret, self._clock())

"""How often a key may ask: a token bucket per key, and one for all texts that are not known to be keys.

A request takes one token, and one more for each further 4 KiB of its body. It is let in while there is a whole token;
a large one may leave a debt, which has to be worked off before the next is let in. So a key with a small rate can still
send the largest request, and pays for it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from leads.db.keys import ApiKey
from leads.errors import TooManyRequests

BURST_S = 2.0
UNIT_BYTES = 4_096
# Look-ups per second and process of texts that may be keys: enough for new keys, too few to hurt the database.
UNKNOWN_PER_S = 50.0
_MAX_BUCKETS = 10_000


class _Bucket:
    """Fills with `rate` tokens a second up to two seconds' worth, at least one."""

    __slots__ = ("at", "burst", "rate", "tokens")

    def __init__(self, rate: float, now: float) -> None:
        self.rate, self.burst = rate, max(1.0, rate * BURST_S)
        self.tokens, self.at = self.burst, now

    def take(self, now: float) -> int:
        """Take a token; returns 0, or in how many whole seconds there will be one."""
        # A timer never steps back, but another thread may have read it earlier.
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0
        return max(1, math.ceil((1.0 - self.tokens) / self.rate))


class RateLimits:
    """The buckets of one process. Not thread-safe: it belongs to the event loop.

    Args:
        rate: requests per second for keys that have no rate of their own; 0: without limit.
        share: of each rate this process gives; the processes of an instance keep the whole together.
    """

    def __init__(self, rate: float = 0.0, *, share: float = 1.0, timer: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._share = share
        self._timer = timer
        self._buckets: dict[str, _Bucket] = {}
        self._unknown = _Bucket(UNKNOWN_PER_S, timer())

    def take(self, key: ApiKey) -> None:
        """Let one request of this key in.

        Raises:
            TooManyRequests: it has to wait.
        """
        rate = self._rate if key.rate is None else key.rate
        if not rate:
            return
        now = self._timer()
        bucket = self._buckets.get(key.id)
        if bucket is None or bucket.rate != rate * self._share:
            bucket = self._add(key.id, _Bucket(rate * self._share, now))
        wait = bucket.take(now)
        if wait:
            raise TooManyRequests(
                f"This key may make {rate:g} requests per second.",
                retry_after_s=wait,
                remedy=f"Wait {wait} s. A body counts as one more request for each further {UNIT_BYTES // 1024} KiB.",
            )

    def charge(self, key: ApiKey, n_bytes: int) -> None:
        """Take the tokens for the body of a request that was let in."""
        units = (n_bytes - 1) // UNIT_BYTES
        if units > 0 and (bucket := self._buckets.get(key.id)):
            bucket.tokens -= units

    def take_unknown(self) -> None:
        """Let the database be asked about one text that may be a key.

        Raises:
            TooManyRequests: too many were asked about already.
        """
        wait = self._unknown.take(self._timer())
        if wait:
            raise TooManyRequests(
                "Too many requests with unknown keys come in.", retry_after_s=wait, remedy=f"Wait {wait} s."
            )

    def _add(self, key_id: str, bucket: _Bucket) -> _Bucket:
        if len(self._buckets) >= _MAX_BUCKETS:
            # The one that was added first: whoever is pushed out begins anew with a full bucket.
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key_id] = bucket
        return bucket

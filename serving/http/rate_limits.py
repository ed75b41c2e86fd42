"""Rate limits: a token bucket per key, which it shares with the keys it was rotated from, and one for unknown keys.

A request costs one token, plus one for each further 4 KiB of its body and of the stored text that it scores. It is
admitted if there is at least one token. A large request may overdraw the bucket; the key then waits until it is
refilled. So even a key with a low rate can send the largest request.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from leads.db.keys import ApiKey
from leads.errors import TooManyRequests
from leads.messages.wording import counted

BURST_S = 2.0
UNIT_BYTES = 4_096
# Look-ups of unknown keys per second in each process: enough for new keys, too few to burden the database.
UNKNOWN_PER_S = 50.0
_MAX_BUCKETS = 10_000


class _Bucket:
    """Refills at `rate` tokens per second, up to `BURST_S` seconds' worth but at least one token."""

    __slots__ = ("at", "burst", "rate", "tokens")

    def __init__(self, rate: float, now: float) -> None:
        self.rate, self.burst = rate, max(1.0, rate * BURST_S)
        self.tokens, self.at = self.burst, now

    def take(self, now: float) -> int:
        """Take a token and return 0, or return the whole seconds until there is one."""
        self.refill(now)
        if self.tokens >= 1.0:
            self.tokens -= 1.0
            return 0
        return self.wait_s

    def refill(self, now: float) -> None:
        # The timer never goes backwards, but another thread may have read it earlier.
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now

    @property
    def wait_s(self) -> int:
        """Whole seconds until there is a token, at least one."""
        return max(1, math.ceil((1.0 - self.tokens) / self.rate))


class RateLimits:
    """The buckets of one process. Not thread-safe: it belongs to the event loop.

    Args:
        rate: requests per second for keys without their own rate; 0 for no limit.
        share: this process's fraction of each rate; the shares of an instance's processes add up to 1.
    """

    def __init__(self, rate: float = 0.0, *, share: float = 1.0, timer: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._share = share
        self._timer = timer
        self._buckets: dict[str, _Bucket] = {}
        self._unknown = _Bucket(UNKNOWN_PER_S, timer())

    def take(self, key: ApiKey) -> None:
        """Admit one request of this key.

        Raises:
            TooManyRequests: the key is over its rate limit.
        """
        rate = self._rate if key.rate is None else key.rate
        if not rate:
            return
        now = self._timer()
        bucket = self._buckets.get(key.caller)
        if bucket is None or bucket.rate != rate * self._share:
            bucket = self._add(key.caller, _Bucket(rate * self._share, now))
        wait = bucket.take(now)
        if wait:
            raise _over(rate, wait)

    def charge(self, key: ApiKey, n_bytes: int, *, after: int = 0) -> None:
        """Charge an admitted request for its body, or for the stored text that it scores.

        Args:
            after: the bytes that the request was charged for before.
        """
        units = _units(after + n_bytes) - _units(after)
        if units > 0 and (bucket := self._buckets.get(key.caller)):
            bucket.tokens -= units

    def charge_before(self, key: ApiKey, n_bytes: int, *, after: int) -> None:
        """`charge` before much stored text is scored, unless other requests have overdrawn the bucket by now.

        Otherwise all requests that a key sends at once would be admitted before the first of them is charged.

        Raises:
            TooManyRequests: they have.
        """
        bucket = self._buckets.get(key.caller)
        if n_bytes and bucket is not None:
            bucket.refill(self._timer())
            # What this request itself has cost must not count against it.
            if bucket.tokens + _units(after) < 0:
                raise _over(bucket.rate / self._share, bucket.wait_s)
        self.charge(key, n_bytes, after=after)

    def take_unknown(self) -> None:
        """Admit the look-up of one unknown key in the database.

        Raises:
            TooManyRequests: over the limit of look-ups.
        """
        wait = self._unknown.take(self._timer())
        if wait:
            raise TooManyRequests("Too many requests with unknown keys.", retry_after_s=wait, remedy=f"Wait {wait} s.")

    def _add(self, caller: str, bucket: _Bucket) -> _Bucket:
        if len(self._buckets) >= _MAX_BUCKETS:
            # Evict the oldest bucket; its key starts again with a full one.
            del self._buckets[next(iter(self._buckets))]
        self._buckets[caller] = bucket
        return bucket


def _units(n_bytes: int) -> int:
    """The tokens that a request costs for this many bytes, in addition to its first."""
    return max(0, n_bytes - 1) // UNIT_BYTES


def _over(rate: float, wait: int) -> TooManyRequests:
    return TooManyRequests(
        f"This key is limited to {counted(rate, 'request')} per second.",
        retry_after_s=wait,
        remedy=(
            f"Wait {wait} s. Each further {UNIT_BYTES // 1024} KiB of a body, or of the stored text that is scored, "
            "count as one more request."
        ),
    )

"""Retry policy: exponential backoff with full jitter, limited in attempts and time."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from leads_client.errors import InvalidInput

# Worth retrying: timeout, rate limit, and the errors of a proxy or of a service that is starting.
TRANSIENT = frozenset((408, 429, 502, 503, 504))


@dataclass(frozen=True)
class Retries:
    """A retry policy.

    Args:
        attempts: maximum number of attempts; 1: don't retry.
        total_s: the last attempt begins within this many seconds of the first.
        base_s, cap_s: the wait before the n-th retry is random, at most base × 2^(n-1) seconds and at most the cap. A
            `Retry-After` from the service is waited for in full, in addition to that.
        timer: monotonic clock, in seconds.
        draw: a random number in [0, 1).

    Raises:
        InvalidInput: fewer than one attempt, or a negative time.
    """

    attempts: int = 4
    total_s: float = 60.0
    base_s: float = 0.25
    cap_s: float = 8.0
    timer: Callable[[], float] = field(default=time.monotonic, repr=False)
    draw: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.total_s, self.base_s, self.cap_s) < 0:
            raise InvalidInput("Retries need at least one attempt and non-negative seconds.", field="retries")

    def begin(self) -> Attempts:
        """Start counting attempts at one request."""
        return Attempts(self)


class Attempts:
    """Counts the attempts at one request."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._began = retries.timer()
        self._attempts = 0

    def wait_s(self, response: httpx.Response | None) -> float | None:
        """Seconds to wait before the next attempt; None if the result is final.

        Args:
            response: the response; None if there was none.
        """
        self._attempts += 1
        if response is not None and response.status_code not in TRANSIENT:
            return None
        policy = self._retries
        if self._attempts >= policy.attempts:
            return None
        requested_s = retry_after_s(response) if response is not None else None
        wait = (requested_s or 0.0) + policy.draw() * min(policy.cap_s, policy.base_s * 2 ** (self._attempts - 1))
        return wait if policy.timer() - self._began + wait <= policy.total_s else None


def retry_after_s(response: httpx.Response) -> float | None:
    """A response's Retry-After in seconds, given as a number or a date; None if missing or invalid."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())

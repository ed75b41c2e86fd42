"""When to send a request again, and after how long: exponential backoff with full jitter, within bounds."""

from __future__ import annotations

import email.utils
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from leads_client.errors import InvalidInput

# Asked again later, these may be answered: not here in time, too often, and what a proxy or a starting service says.
PASSING = frozenset((408, 429, 502, 503, 504))


@dataclass(frozen=True)
class Retries:
    """How persistent a client is.

    Args:
        attempts: at most so many times a request is sent; 1: never again.
        total_s: seconds since the first attempt within which the last one begins.
        base_s, cap_s: before the n-th repetition a random wait of at most base × 2^(n-1) seconds, and at most the cap.
            What the service asks for (`Retry-After`) is waited for in full, and that on top.
        timer: monotonic seconds.
        draw: a random number in [0, 1).

    Raises:
        InvalidInput: less than one attempt, or negative times.
    """

    attempts: int = 4
    total_s: float = 60.0
    base_s: float = 0.25
    cap_s: float = 8.0
    timer: Callable[[], float] = field(default=time.monotonic, repr=False)
    draw: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.total_s, self.base_s, self.cap_s) < 0:
            raise InvalidInput("Retries need at least one attempt, and no negative seconds.", field="retries")

    def begin(self) -> Attempts:
        """For one request."""
        return Attempts(self)


class Attempts:
    """The attempts at one request, counted from now."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._began = retries.timer()
        self._made = 0

    def wait_s(self, response: httpx.Response | None) -> float | None:
        """After how many seconds to send again; None: what came is final.

        Args:
            response: what came; None when nothing did.
        """
        self._made += 1
        if response is not None and response.status_code not in PASSING:
            return None
        policy = self._retries
        if self._made >= policy.attempts:
            return None
        asked_s = retry_after_s(response) if response is not None else None
        wait = (asked_s or 0.0) + policy.draw() * min(policy.cap_s, policy.base_s * 2 ** (self._made - 1))
        return wait if policy.timer() - self._began + wait <= policy.total_s else None


def retry_after_s(response: httpx.Response) -> float | None:
    """The Retry-After of an answer, in seconds or as a date; None when there is none that can be read."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())

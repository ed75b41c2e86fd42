"""When to retry: exponential backoff with full jitter, limited by time."""

from __future__ import annotations

import email.utils
import math
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from leads_client.errors import InvalidInput

RETRY_FOR_S = 60.0
# Worth retrying: timeout, rate limit, and the errors of a proxy or of a service that is starting.
TRANSIENT = frozenset((408, 429, 502, 503, 504))
# The connection ended before there was an answer. A service closes idle connections, often just as they are used again.
_DISCONNECTED = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)
# No retry begins with less time than this left until the deadline.
_LEAST_S = 0.01


@dataclass(frozen=True)
class Retries:
    """A retry policy.

    Args:
        for_s: the last attempt at a request begins within this many seconds of the first; 0: don't retry.
        deadline_s: no attempt at a call begins later than this, and none waits longer for a connection or for the next
            part of a response. A response that arrives in many parts can take longer.
        base_s, cap_s: the wait before the n-th retry is random, at most base × 2^(n-1) seconds and at most the cap. A
            `Retry-After` from the service is waited for in full, in addition to that.
        timer: monotonic clock, in seconds.
        draw: a random number in [0, 1).

    Raises:
        InvalidInput: a time that isn't a number or is negative, or a deadline of 0 seconds.
    """

    for_s: float = RETRY_FOR_S
    deadline_s: float = math.inf
    base_s: float = 0.25
    cap_s: float = 8.0
    timer: Callable[[], float] = field(default=time.monotonic, repr=False)
    draw: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        if not min(self.for_s, self.base_s, self.cap_s) >= 0:
            raise InvalidInput("The time for retries can't be negative.", field="retry_for_s", remedy="Use 0 for none.")
        if not self.deadline_s > 0:
            raise InvalidInput("A deadline needs more than 0 seconds.", field="deadline_s")

    def begin(self, call_began: float | None = None) -> Attempts:
        """Start counting attempts at one request.

        Args:
            call_began: when the call began that the request is a part of, by the timer; default: now.
        """
        return Attempts(self, call_began)


class Attempts:
    """Counts the attempts at one request, and says when to make the next one."""

    def __init__(self, retries: Retries, call_began: float | None) -> None:
        self._retries = retries
        self._began = retries.timer()
        self._until = (self._began if call_began is None else call_began) + retries.deadline_s
        self._hurried = False
        # Whether a warning was logged.
        self.announced = False
        self._asked_s: float | None = None
        self.tries = 0

    def timeout_s(self, most: float) -> float:
        """How long the next attempt may wait for each step, in seconds: `most`, but only until the deadline."""
        return max(_LEAST_S, min(most, self._until - self._retries.timer()))

    def wait_s(self, outcome: httpx.Response | httpx.RequestError) -> float | None:
        """Seconds to wait before the next attempt; None if this outcome is final."""
        self.tries += 1
        self._asked_s = None
        if not is_transient(outcome):
            return None
        policy, now = self._retries, self._retries.timer()
        # Waits end at half of what is left until the deadline, so that attempts still have time to succeed.
        left = min(self._began + policy.for_s - now, (self._until - now) / 2)
        if left < _LEAST_S:
            return None
        if isinstance(outcome, httpx.RequestError) and is_disconnect(outcome) and not self._hurried:
            self._hurried = True
            return 0.0
        self._asked_s = retry_after_s(outcome) if isinstance(outcome, httpx.Response) else None
        asked = self._asked_s or 0.0
        if asked > left:
            return None
        jitter = policy.draw() * min(policy.cap_s, policy.base_s * 2.0 ** min(self.tries - 1, 30))
        return min(asked + jitter, left)

    def gave_up(self, outcome: httpx.Response | httpx.RequestError) -> str | None:
        """After how long and how many attempts this final outcome was accepted; None if it isn't worth a retry."""
        if not is_transient(outcome):
            return None
        seconds = self._retries.timer() - self._began
        tries = "1 attempt" if self.tries == 1 else f"{self.tries:,} attempts"
        why = f", because the service asks to wait {self._asked_s:.0f} s" if self._asked_s else ""
        return f"Gave up after {tries} in {seconds:.1f} s{why}."


def is_transient(outcome: httpx.Response | httpx.RequestError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in TRANSIENT
    if isinstance(outcome, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return False
    return isinstance(outcome, httpx.TransportError) and not is_distrust(outcome)


def is_disconnect(error: httpx.RequestError) -> bool:
    """Whether the connection ended before there was an answer."""
    return isinstance(error, _DISCONNECTED)


def is_distrust(error: BaseException | None) -> bool:
    """Whether the service's certificate isn't trusted."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


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

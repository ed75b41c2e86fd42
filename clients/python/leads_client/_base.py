"""What both clients share: their options, and what becomes of each attempt at a request."""

from __future__ import annotations

import copy
import logging
import warnings
from dataclasses import replace
from typing import Any, Generic, Self, TypeVar

import httpx

from leads_client._answers import Reply, unreachable
from leads_client._calls import ApiCall
from leads_client._connection import Connection
from leads_client._retries import Attempts, Retries
from leads_client.version import VERSION_HEADER, VersionMismatch, mismatch

H = TypeVar("H", httpx.Client, httpx.AsyncClient)
Outcome = httpx.Response | httpx.RequestError
_log = logging.getLogger("leads_client")


class BaseClient(Generic[H]):
    """Options and connections of a client."""

    def __init__(self, http: H, to: Connection, retries: Retries, timeout_s: float) -> None:
        self._http: H = http
        self._shown_url = str(to.url.copy_with(userinfo=b""))
        self._retries = retries
        self._timeout_s = timeout_s
        self._compared: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._shown_url!r})"

    def with_options(
        self, *, timeout_s: float | None = None, retry_for_s: float | None = None, deadline_s: float | None = None
    ) -> Self:
        """This client with other limits, given as for a new one. Both use the same connections.

            client.with_options(deadline_s=2).score(subjects)

        Raises:
            InvalidInput: a time that is negative.
        """
        changed, retries = copy.copy(self), self._retries
        changed._retries = replace(
            retries,
            for_s=retries.for_s if retry_for_s is None else retry_for_s,
            deadline_s=retries.deadline_s if deadline_s is None else deadline_s,
        )
        changed._timeout_s = self._timeout_s if timeout_s is None else timeout_s
        return changed

    def _now(self) -> float:
        return self._retries.timer()

    def _options(self, call: ApiCall[Any], attempts: Attempts) -> dict[str, Any]:
        """The arguments of httpx's `request`, besides method and path."""
        timeout = attempts.timeout_s(self._timeout_s)
        return {"params": call.params, "content": call.body, "headers": call.headers, "timeout": timeout}

    def _wait_s(self, call: ApiCall[Any], attempts: Attempts, outcome: Outcome) -> float | None:
        """Seconds until the next attempt; None if this outcome is final."""
        wait_s = attempts.wait_s(outcome)
        if wait_s and not attempts.announced:
            attempts.announced = True
            what = f"status {outcome.status_code}" if isinstance(outcome, httpx.Response) else type(outcome).__name__
            most_s = min(self._retries.for_s, self._retries.deadline_s)
            _log.warning("%s %s: %s. Retrying for up to %g seconds.", call.method, call.path, what, most_s)
        return wait_s

    def _reply(self, call: ApiCall[Any], attempts: Attempts, outcome: Outcome) -> Reply:
        """The final response.

        Raises:
            Unavailable: there is none.
        """
        gave_up = attempts.gave_up(outcome)
        if not isinstance(outcome, httpx.Response):
            raise unreachable(call, outcome, gave_up) from outcome
        self._compare_versions(outcome)
        return Reply(outcome, gave_up)

    def _compare_versions(self, response: httpx.Response) -> None:
        """Warn once about a service of another major version."""
        version = response.headers.get(VERSION_HEADER)
        if version is None or version in self._compared:
            return
        self._compared.add(version)
        if (text := mismatch(version)) is not None:
            warnings.warn(text, VersionMismatch, stacklevel=6)

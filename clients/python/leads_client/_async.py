"""The asyncio client."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Self, TypeVar

import httpx

from leads_client import _calls as calls
from leads_client._alerts import AsyncAlerts
from leads_client._answers import Reply, Unscored, add_accepted_count, join_accepted, join_scores, read, read_part
from leads_client._base import BaseClient, Outcome
from leads_client._calls import ApiCall, SubjectLike
from leads_client._connection import LIMITS, connection
from leads_client._retries import RETRY_FOR_S, Retries
from leads_client._views import AsyncViews
from leads_client.errors import LeadsError
from leads_client.fields import Verdict
from leads_client.schemas.base import SubjectIn
from leads_client.schemas.events import Accepted, EventIn, PlayIn, SignalIn
from leads_client.schemas.leads import (
    ClaimedOut,
    ClaimIn,
    DecidedOut,
    DecisionIn,
    ExtendedOut,
    HeldOut,
    LeadDetail,
    LeadOut,
    LeadsOut,
    ReleasedOut,
    StateFilter,
    SubjectDecisionIn,
    TrailOut,
)
from leads_client.schemas.scores import ScoresOut
from leads_client.schemas.stats import StatsOut

T = TypeVar("T")


class AsyncClient(AsyncAlerts, AsyncViews, BaseClient[httpx.AsyncClient]):
    """The asyncio client, with the methods, arguments and errors of `Client`.

    Args:
        concurrency: maximum number of simultaneous requests when scoring a long list.
    """

    def __init__(
        self,
        base_url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = 10.0,
        retry_for_s: float = RETRY_FOR_S,
        deadline_s: float = math.inf,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        timer: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        concurrency: int = 4,
    ) -> None:
        to, retries = connection(base_url, key), Retries(retry_for_s, deadline_s, timer=timer, draw=draw)
        self._sleep = sleep
        self._slots = asyncio.Semaphore(max(1, concurrency))
        http = httpx.AsyncClient(
            base_url=to.url, headers=to.headers, trust_env=to.trust_env, limits=LIMITS, transport=transport
        )
        super().__init__(http, to, retries, timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def score(
        self, subjects: Iterable[SubjectLike], harms: Sequence[str] | None = None, *, reasons: bool = False
    ) -> ScoresOut:
        """Score subjects: one result per subject, in order; errors about a subject are in its result's `errors`."""
        began, parts = self._now(), calls.score_calls(subjects, harms, reasons)
        if len(parts) == 1:
            return join_scores([await self._part(parts[0], began)])
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._part(call, began)) for call in parts]
        except ExceptionGroup as failed:
            # Raise the first: the others were cancelled or failed in the same way.
            raise failed.exceptions[0] from failed.exceptions[0].__cause__
        return join_scores([task.result() for task in tasks])

    async def items(self, items: Iterable[SubjectIn], *, idempotency_key: str | None = None) -> Accepted:
        """Send items and accounts that were created or edited. They are durable when this returns."""
        return await self._send_all(calls.event_calls("items", items, idempotency_key))

    async def signals(self, signals: Iterable[SignalIn], *, idempotency_key: str | None = None) -> Accepted:
        """Send reports, notices, hash matches or other classifiers' scores."""
        return await self._send_all(calls.event_calls("signals", signals, idempotency_key))

    async def plays(self, plays: Iterable[PlayIn], *, idempotency_key: str | None = None) -> Accepted:
        """Send plays."""
        return await self._send_all(calls.event_calls("plays", plays, idempotency_key))

    async def events(self, events: Iterable[EventIn], *, idempotency_key: str | None = None) -> Accepted:
        """Send events of the kinds that platform.yaml declares; like `items`."""
        return await self._send_all(calls.event_calls("events", events, idempotency_key))

    async def leads(
        self,
        harms: Sequence[str] | None = None,
        *,
        state: StateFilter = "open",
        type_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> LeadsOut:
        """One page of leads in order of priority, highest first; at most 200."""
        return await self._send(calls.leads_call(harms, state, type_id, limit, cursor))

    async def iter_leads(
        self,
        harms: Sequence[str] | None = None,
        *,
        state: StateFilter = "open",
        type_id: str | None = None,
        page_size: int = 200,
    ) -> AsyncIterator[LeadOut]:
        """All leads in order of priority, highest first, fetched page by page."""
        cursor: str | None = None
        while True:
            page = await self.leads(harms, state=state, type_id=type_id, limit=page_size, cursor=cursor)
            for lead in page.leads:
                yield lead
            cursor = page.next_cursor
            if cursor is None:
                return

    async def stats(self) -> StatsOut:
        """How full the queue is and how fast it moves, by harm and by reviewer."""
        return await self._send(calls.stats_call())

    async def lead(self, lead_id: str) -> LeadDetail:
        """A lead with its subject and signals. Raises NotFound."""
        return await self._send(calls.lead_call(lead_id))

    async def audit(self, lead_id: str) -> TrailOut:
        """A lead's audit trail, oldest first. Raises NotFound."""
        return await self._send(calls.audit_call(lead_id))

    async def claim(
        self,
        reviewer: str | None = None,
        n: int = 1,
        *,
        harms: Sequence[str] | None = None,
        exclude: Iterable[str] = (),
        idempotency_key: str | None = None,
    ) -> ClaimedOut:
        """Lease the `n` open leads with the highest priority, at most 100, to one reviewer: by default the key's own.

        Leads that the reviewer released within the last ten minutes come last. `exclude`: ids of at most 100 leads that
        are left out. Raises Conflict when the reviewer holds as many leads as one reviewer may.
        """
        body = ClaimIn(reviewer, n, None if harms is None else tuple(harms), tuple(exclude))
        return await self._send(calls.claim_call(body, idempotency_key))

    async def held(self, reviewer: str | None = None) -> HeldOut:
        """The leads that a reviewer holds, by default the key's own reviewer."""
        return await self._send(calls.held_call(reviewer))

    async def extend(
        self, lead_id: str, reviewer: str | None = None, *, idempotency_key: str | None = None
    ) -> ExtendedOut:
        """Let the lease last for another full period. Raises NotFound, and Conflict when it isn't `reviewer`'s."""
        return await self._send(calls.extend_call(lead_id, reviewer, idempotency_key))

    async def release(
        self, lead_id: str, reviewer: str | None = None, *, idempotency_key: str | None = None
    ) -> ReleasedOut:
        """Return a claimed lead to the queue. Raises NotFound, and Conflict when `reviewer` doesn't hold it."""
        return await self._send(calls.release_call(lead_id, reviewer, idempotency_key))

    async def decide(
        self,
        lead_id: str,
        verdict: Verdict,
        reviewer: str | None = None,
        *,
        reason: str = "",
        review_id: str | None = None,
        content_version: str | None = None,
        on_old_content: bool = False,
        idempotency_key: str | None = None,
    ) -> DecidedOut:
        """Decide a lead, about the content that its claim showed.

        Without a lease on it, give `review_id` or `content_version`: InvalidInput asks for it otherwise.

        Raises NotFound, and Conflict if another reviewer holds it, it was decided differently, or its content has
        changed since it was shown and the verdict isn't `on_old_content`.
        """
        body = DecisionIn(
            verdict,
            reviewer,
            reason=reason,
            review_id=review_id,
            content_version=content_version,
            on_old_content=on_old_content,
        )
        return await self._send(calls.decide_call(lead_id, body, idempotency_key))

    async def decide_subject(
        self,
        subject: SubjectLike,
        harm: str,
        verdict: Verdict,
        reviewer: str | None = None,
        *,
        reason: str = "",
        appeal: bool = False,
        content_version: str | None = None,
        on_old_content: bool = False,
        idempotency_key: str | None = None,
    ) -> DecidedOut:
        """Decide a subject under a harm, with or without a lead. `appeal` overturns an earlier human decision.

        If the subject has a lead that the reviewer doesn't hold, `content_version` says what the verdict is about.

        Raises NotFound, and Conflict if it was decided differently and this is not an appeal, or as `decide`.
        """
        body = SubjectDecisionIn(
            verdict,
            reviewer,
            reason=reason,
            content_version=content_version,
            on_old_content=on_old_content,
            subject=calls.as_ref(subject),
            harm=harm,
            appeal=appeal,
        )
        return await self._send(calls.decide_subject_call(body, idempotency_key))

    async def ready(self) -> bool:
        """Whether the service is up and has loaded all its models; asks once, without a key."""
        try:
            return (await self._http.get("/readyz", timeout=self._timeout_s)).is_success
        except httpx.RequestError:
            return False

    async def _part(self, call: ApiCall[ScoresOut], began: float) -> ScoresOut | Unscored:
        async with self._slots:
            return read_part(call, await self._respond(call, began))

    async def _send_all(self, parts: Sequence[ApiCall[Accepted]]) -> Accepted:
        began, results = self._now(), list[Accepted]()
        for call in parts:
            try:
                results.append(read(call, await self._respond(call, began)))
            except LeadsError as error:
                add_accepted_count(error, call)
                raise
        return join_accepted(results)

    async def _send(self, call: ApiCall[T]) -> T:
        return read(call, await self._respond(call, self._now()))

    async def _respond(self, call: ApiCall[T], began: float) -> Reply:
        """The first response that isn't worth a retry, or the last one."""
        attempts = self._retries.begin(began)
        while True:
            outcome: Outcome
            try:
                outcome = await self._http.request(call.method, call.path, **self._options(call, attempts))
            except httpx.RequestError as error:
                outcome = error
            wait_s = self._wait_s(call, attempts, outcome)
            if wait_s is None:
                return self._reply(call, attempts, outcome)
            await self._sleep(wait_s)

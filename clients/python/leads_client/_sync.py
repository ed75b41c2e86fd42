"""The blocking client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self, TypeVar

import httpx

from leads_client import _calls as calls
from leads_client._answers import Unscored, join_accepted, join_scores, read, read_part, tell_what_is_kept, unreachable
from leads_client._calls import Call, SubjectLike
from leads_client._connection import connection
from leads_client._retries import Retries
from leads_client.errors import LeadsError
from leads_client.fields import DecidedBy, Verdict
from leads_client.schemas.base import SubjectIn
from leads_client.schemas.events import Accepted, PlayIn, SignalIn
from leads_client.schemas.leads import (
    ClaimedOut,
    ClaimIn,
    DecidedOut,
    DecisionIn,
    LeadDetail,
    LeadOut,
    LeadsOut,
    ModelsOut,
    ReleasedOut,
    StateFilter,
    SubjectDecisionIn,
    TrailOut,
)
from leads_client.schemas.scores import ScoresOut

T = TypeVar("T")


class Client:
    """The API, blocking. Thread-safe; keeps its connections open until `close` or the end of its `with` block.

    Args:
        base_url: default: LEADS_URL, or http://127.0.0.1:3000. The environment's proxies are used, but not to loopback.
        key: API key; default: LEADS_API_KEY.
        timeout_s: seconds to wait for a connection, for sending, and for each part of an answer.
        retries: how persistent to be.
        transport: httpx's, for tests and special networks.

    Every method raises, beside what it says itself:
        NotAuthenticated, AccessDenied: the key isn't valid, or doesn't allow this.
        InvalidInput: with the JSON pointer of what is wrong as `field`.
        TooManyRequests, Unavailable: also after sending again. What was asked for may have been done all the same: to
            find out, make the call again with the same `idempotency_key`.

    Raises:
        InvalidInput: no http address, or no key.
    """

    def __init__(
        self,
        base_url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = 10.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        to = connection(base_url, key)
        self._retries = retries or Retries()
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=to.url, headers=to.headers, timeout=timeout_s, trust_env=to.trust_env, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({str(self._http.base_url.copy_with(userinfo=b''))!r})"

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def score(
        self, subjects: Iterable[SubjectLike], harms: Sequence[str] | None = None, *, reasons: bool = False
    ) -> ScoresOut:
        """Score subjects: one result each, in their order; what is wrong with one stands in its result's `errors`.

        Long lists are sent in several requests, whose answers are joined.

        Args:
            harms: default: every harm that applies, has a model, and that the key is for.
            reasons: explain the scores, of very many the highest.

        Raises:
            LeadsError: not one could be scored; the first error.
        """
        parts: list[ScoresOut | Unscored] = []
        for call in calls.score_calls(subjects, harms, reasons):
            parts.append(read_part(call, self._respond(call)))
        return join_scores(parts)

    def items(self, items: Iterable[SubjectIn], *, idempotency_key: str | None = None) -> Accepted:
        """Tell of items and accounts that came to be or were edited. Durable when it returns.

        Long lists are sent in several requests, one after the other, so that their order is kept. When one fails, the
        error says how many are accepted.
        """
        return self._tell(calls.event_calls("items", items, idempotency_key))

    def signals(self, signals: Iterable[SignalIn], *, idempotency_key: str | None = None) -> Accepted:
        """Tell of reports, notices, hash matches, other classifiers' scores; as `items`."""
        return self._tell(calls.event_calls("signals", signals, idempotency_key))

    def plays(self, plays: Iterable[PlayIn], *, idempotency_key: str | None = None) -> Accepted:
        """Tell of plays; as `items`."""
        return self._tell(calls.event_calls("plays", plays, idempotency_key))

    def leads(
        self,
        harms: Sequence[str] | None = None,
        *,
        state: StateFilter = "open",
        type_id: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> LeadsOut:
        """One page of leads by falling priority, at most 200."""
        return self._send(calls.leads_call(harms, state, type_id, limit, cursor))

    def iter_leads(
        self,
        harms: Sequence[str] | None = None,
        *,
        state: StateFilter = "open",
        type_id: str | None = None,
        page_size: int = 200,
    ) -> Iterator[LeadOut]:
        """All leads by falling priority, page by page."""
        cursor: str | None = None
        while True:
            page = self.leads(harms, state=state, type_id=type_id, limit=page_size, cursor=cursor)
            yield from page.leads
            cursor = page.next_cursor
            if cursor is None:
                return

    def lead(self, lead_id: str) -> LeadDetail:
        """Everything known of a lead. Raises NotFound."""
        return self._send(calls.lead_call(lead_id))

    def audit(self, lead_id: str) -> TrailOut:
        """What happened to a lead, oldest first. Raises NotFound."""
        return self._send(calls.audit_call(lead_id))

    def claim(
        self, reviewer: str, n: int = 1, *, harms: Sequence[str] | None = None, idempotency_key: str | None = None
    ) -> ClaimedOut:
        """Lease the best `n` open leads, at most 100, to a reviewer; nobody else gets them meanwhile."""
        body = ClaimIn(reviewer, n, None if harms is None else tuple(harms))
        return self._send(calls.claim_call(body, idempotency_key))

    def release(self, lead_id: str, reviewer: str, *, idempotency_key: str | None = None) -> ReleasedOut:
        """Give a claimed lead back. Raises NotFound, and Conflict when `reviewer` doesn't hold it."""
        return self._send(calls.release_call(lead_id, reviewer, idempotency_key))

    def decide(
        self,
        lead_id: str,
        verdict: Verdict,
        reviewer: str,
        *,
        by: DecidedBy = "human",
        reason: str = "",
        idempotency_key: str | None = None,
    ) -> DecidedOut:
        """Decide a lead. Raises NotFound, and Conflict when another holds it or it was decided otherwise."""
        return self._send(calls.decide_call(lead_id, DecisionIn(verdict, reviewer, by, reason), idempotency_key))

    def decide_subject(
        self,
        subject: SubjectLike,
        harm: str,
        verdict: Verdict,
        reviewer: str,
        *,
        by: DecidedBy = "human",
        reason: str = "",
        appeal: bool = False,
        idempotency_key: str | None = None,
    ) -> DecidedOut:
        """Decide a subject under a harm, lead or not. `appeal` overturns an earlier human decision.

        Raises NotFound, and Conflict when it was decided otherwise and this is no appeal.
        """
        body = SubjectDecisionIn(verdict, reviewer, by, reason, subject=calls.as_ref(subject), harm=harm, appeal=appeal)
        return self._send(calls.decide_subject_call(body, idempotency_key))

    def models(self) -> ModelsOut:
        """Which version answers for each harm."""
        return self._send(calls.models_call())

    def ready(self) -> bool:
        """Whether the service answers and has every model it should; asked once, without a key."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.RequestError:
            return False

    def _tell(self, parts: Sequence[Call[Accepted]]) -> Accepted:
        answers: list[Accepted] = []
        for call in parts:
            try:
                answers.append(self._send(call))
            except LeadsError as error:
                tell_what_is_kept(error, call)
                raise
        return join_accepted(answers)

    def _send(self, call: Call[T]) -> T:
        return read(call, self._respond(call))

    def _respond(self, call: Call[T]) -> httpx.Response:
        """The first answer that isn't worth sending again for, or the last one."""
        attempts = self._retries.begin()
        while True:
            try:
                response = self._http.request(
                    call.method, call.path, params=call.params, content=call.body, headers=call.headers
                )
            except httpx.RequestError as error:
                wait_s = attempts.wait_s(None)
                if wait_s is None:
                    raise unreachable(call, error) from error
            else:
                wait_s = attempts.wait_s(response)
                if wait_s is None:
                    return response
            self._sleep(wait_s)

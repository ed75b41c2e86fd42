"""The methods of both clients for alerts and silences."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TypeVar
from urllib.parse import quote

from leads_client._calls import ApiCall, delete_call, post_call
from leads_client.schemas.alerts import (
    AcknowledgeIn,
    AlertDetail,
    AlertFilter,
    AlertOut,
    AlertsOut,
    SilenceIn,
    SilenceOut,
    SilencesOut,
)

T = TypeVar("T")


class Alerts:
    """The blocking methods."""

    def _send(self, call: ApiCall[T]) -> T:
        raise NotImplementedError

    def alerts(
        self,
        harms: Sequence[str] | None = None,
        *,
        state: AlertFilter = "open",
        rule: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> AlertsOut:
        """One page of alerts, newest first; at most 200. `open` alerts are those that aren't resolved."""
        return self._send(_alerts_call(harms, state, rule, limit, cursor))

    def iter_alerts(
        self,
        harms: Sequence[str] | None = None,
        *,
        state: AlertFilter = "open",
        rule: str | None = None,
        page_size: int = 200,
    ) -> Iterator[AlertOut]:
        """All alerts, newest first, fetched page by page."""
        cursor: str | None = None
        while True:
            page = self._send(_alerts_call(harms, state, rule, page_size, cursor))
            yield from page.alerts
            cursor = page.next_cursor
            if cursor is None:
                return

    def alert(self, alert_id: str) -> AlertDetail:
        """An alert with its explanation. Raises NotFound."""
        return self._send(_alert_call(alert_id))

    def acknowledge_alert(self, alert_id: str, note: str = "", *, idempotency_key: str | None = None) -> AlertOut:
        """Say that you look after an alert: nothing more is sent about it.

        Raises NotFound, and Conflict if it is resolved.
        """
        return self._send(_acknowledge_call(alert_id, note, idempotency_key))

    def silences(self) -> SilencesOut:
        """The newest 200 silences."""
        return self._send(ApiCall("GET", "/v1/monitoring/silences", SilencesOut))

    def silence(
        self, rule: str, until: str, why: str, *, harm: str | None = None, idempotency_key: str | None = None
    ) -> SilenceOut:
        """Send nothing about a rule's alerts until a time in RFC 3339, at most 90 days from now.

        Args:
            rule: its name, or `*` for all.
            harm: default: all.
        """
        body = SilenceIn(rule, until, why, harm)
        return self._send(post_call("/v1/monitoring/silences", SilenceOut, body, idempotency_key))

    def end_silence(self, silence_id: str, *, idempotency_key: str | None = None) -> SilenceOut:
        """End a silence now. Raises NotFound."""
        path = f"/v1/monitoring/silences/{quote(silence_id, safe='')}"
        return self._send(delete_call(path, SilenceOut, idempotency_key))


class AsyncAlerts:
    """The same for asyncio."""

    async def _send(self, call: ApiCall[T]) -> T:
        raise NotImplementedError

    async def alerts(
        self,
        harms: Sequence[str] | None = None,
        *,
        state: AlertFilter = "open",
        rule: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> AlertsOut:
        """One page of alerts, newest first; at most 200. `open` alerts are those that aren't resolved."""
        return await self._send(_alerts_call(harms, state, rule, limit, cursor))

    async def iter_alerts(
        self,
        harms: Sequence[str] | None = None,
        *,
        state: AlertFilter = "open",
        rule: str | None = None,
        page_size: int = 200,
    ) -> AsyncIterator[AlertOut]:
        """All alerts, newest first, fetched page by page."""
        cursor: str | None = None
        while True:
            page = await self._send(_alerts_call(harms, state, rule, page_size, cursor))
            for one in page.alerts:
                yield one
            cursor = page.next_cursor
            if cursor is None:
                return

    async def alert(self, alert_id: str) -> AlertDetail:
        """An alert with its explanation. Raises NotFound."""
        return await self._send(_alert_call(alert_id))

    async def acknowledge_alert(self, alert_id: str, note: str = "", *, idempotency_key: str | None = None) -> AlertOut:
        """Say that you look after an alert: nothing more is sent about it.

        Raises NotFound, and Conflict if it is resolved.
        """
        return await self._send(_acknowledge_call(alert_id, note, idempotency_key))

    async def silences(self) -> SilencesOut:
        """The newest 200 silences."""
        return await self._send(ApiCall("GET", "/v1/monitoring/silences", SilencesOut))

    async def silence(
        self, rule: str, until: str, why: str, *, harm: str | None = None, idempotency_key: str | None = None
    ) -> SilenceOut:
        """Send nothing about a rule's alerts until a time in RFC 3339, at most 90 days from now.

        Args:
            rule: its name, or `*` for all.
            harm: default: all.
        """
        body = SilenceIn(rule, until, why, harm)
        return await self._send(post_call("/v1/monitoring/silences", SilenceOut, body, idempotency_key))

    async def end_silence(self, silence_id: str, *, idempotency_key: str | None = None) -> SilenceOut:
        """End a silence now. Raises NotFound."""
        path = f"/v1/monitoring/silences/{quote(silence_id, safe='')}"
        return await self._send(delete_call(path, SilenceOut, idempotency_key))


def _alerts_call(
    harms: Sequence[str] | None, state: AlertFilter, rule: str | None, limit: int, cursor: str | None
) -> ApiCall[AlertsOut]:
    params = [("harm", harm) for harm in harms or ()] + [("state", state), ("limit", str(limit))]
    params += [(name, value) for name, value in (("rule", rule), ("cursor", cursor)) if value is not None]
    return ApiCall("GET", "/v1/monitoring/alerts", AlertsOut, params=tuple(params))


def _alert_call(alert_id: str) -> ApiCall[AlertDetail]:
    return ApiCall("GET", _path(alert_id), AlertDetail)


def _acknowledge_call(alert_id: str, note: str, idempotency_key: str | None) -> ApiCall[AlertOut]:
    return post_call(f"{_path(alert_id)}/acknowledge", AlertOut, AcknowledgeIn(note), idempotency_key)


def _path(alert_id: str) -> str:
    return f"/v1/monitoring/alerts/{quote(alert_id, safe='')}"

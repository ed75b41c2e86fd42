"""The methods of both clients that show the platform: its types and models, and what monitoring measured."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TypeVar

from leads_client._calls import ApiCall
from leads_client.schemas.leads import ModelsOut
from leads_client.schemas.measured import MetricOut, MetricsOut, MonitoringSummaryOut, MonitorRunsOut
from leads_client.schemas.types import HarmsOut, TypesOut

T = TypeVar("T")


class Views:
    """The blocking methods."""

    def _send(self, call: ApiCall[T]) -> T:
        raise NotImplementedError

    def types(self) -> TypesOut:
        """The types of items, and their fields."""
        return self._send(_types_call())

    def harms(self) -> HarmsOut:
        """The harms that the key may access, and the thresholds of their champions."""
        return self._send(_harms_call())

    def models(self) -> ModelsOut:
        """The version that serves each harm."""
        return self._send(_models_call())

    def monitoring_metrics(
        self,
        harms: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        *,
        slice: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> MetricsOut:
        """One page of measured values, newest window first; at most 1,000.

        Args:
            names: only these metrics, for example `performance.precision`.
            slice: only this slice, for example `against=reference;column=account.plays_24h`; empty: only values of
                everything.
            since, until: only windows that end after `since` and by `until`, in RFC 3339.
        """
        return self._send(_metrics_call(harms, names, slice, since, until, limit, cursor))

    def iter_monitoring_metrics(
        self,
        harms: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        *,
        slice: str | None = None,
        since: str | None = None,
        until: str | None = None,
        page_size: int = 1_000,
    ) -> Iterator[MetricOut]:
        """All measured values, newest window first, fetched page by page; arguments as for `monitoring_metrics`."""
        cursor: str | None = None
        while True:
            page = self._send(_metrics_call(harms, names, slice, since, until, page_size, cursor))
            yield from page.metrics
            cursor = page.next_cursor
            if cursor is None:
                return

    def monitoring_runs(self, limit: int = 20) -> MonitorRunsOut:
        """The newest runs of monitoring's jobs; at most 200."""
        return self._send(_runs_call(limit))

    def monitoring_summary(self) -> MonitoringSummaryOut:
        """How each harm does: whether predictions drifted, open alerts, the newest figures."""
        return self._send(_summary_call())


class AsyncViews:
    """The same for asyncio."""

    async def _send(self, call: ApiCall[T]) -> T:
        raise NotImplementedError

    async def types(self) -> TypesOut:
        """The types of items, and their fields."""
        return await self._send(_types_call())

    async def harms(self) -> HarmsOut:
        """The harms that the key may access, and the thresholds of their champions."""
        return await self._send(_harms_call())

    async def models(self) -> ModelsOut:
        """The version that serves each harm."""
        return await self._send(_models_call())

    async def monitoring_metrics(
        self,
        harms: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        *,
        slice: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> MetricsOut:
        """One page of measured values, newest window first; arguments as for `Client.monitoring_metrics`."""
        return await self._send(_metrics_call(harms, names, slice, since, until, limit, cursor))

    async def iter_monitoring_metrics(
        self,
        harms: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        *,
        slice: str | None = None,
        since: str | None = None,
        until: str | None = None,
        page_size: int = 1_000,
    ) -> AsyncIterator[MetricOut]:
        """All measured values, newest window first, fetched page by page."""
        cursor: str | None = None
        while True:
            page = await self._send(_metrics_call(harms, names, slice, since, until, page_size, cursor))
            for row in page.metrics:
                yield row
            cursor = page.next_cursor
            if cursor is None:
                return

    async def monitoring_runs(self, limit: int = 20) -> MonitorRunsOut:
        """The newest runs of monitoring's jobs; at most 200."""
        return await self._send(_runs_call(limit))

    async def monitoring_summary(self) -> MonitoringSummaryOut:
        """How each harm does: whether predictions drifted, open alerts, the newest figures."""
        return await self._send(_summary_call())


def _types_call() -> ApiCall[TypesOut]:
    return ApiCall("GET", "/v1/types", TypesOut)


def _harms_call() -> ApiCall[HarmsOut]:
    return ApiCall("GET", "/v1/harms", HarmsOut)


def _models_call() -> ApiCall[ModelsOut]:
    return ApiCall("GET", "/v1/models", ModelsOut)


def _metrics_call(
    harms: Sequence[str] | None,
    names: Sequence[str] | None,
    slice_: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    cursor: str | None,
) -> ApiCall[MetricsOut]:
    params = [("harm", harm) for harm in harms or ()] + [("name", name) for name in names or ()]
    params.append(("limit", str(limit)))
    given = (("slice", slice_), ("since", since), ("until", until), ("cursor", cursor))
    params += [(name, value) for name, value in given if value is not None]
    return ApiCall("GET", "/v1/monitoring/metrics", MetricsOut, params=tuple(params))


def _runs_call(limit: int) -> ApiCall[MonitorRunsOut]:
    return ApiCall("GET", "/v1/monitoring/runs", MonitorRunsOut, params=(("limit", str(limit)),))


def _summary_call() -> ApiCall[MonitoringSummaryOut]:
    return ApiCall("GET", "/v1/monitoring/summary", MonitoringSummaryOut)

"""Optional OpenTelemetry traces: a span per request, with a child span per stage.

We use our own provider, independent of BentoML's. Sampling, endpoint and headers are set by OpenTelemetry's environment
variables (`OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_ENDPOINT`, …). Spans contain no texts, subject ids or keys.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from leads.errors import ConfigurationError
from leads.settings import Settings
from serving.observe.request_notes import Notes
from serving.scoring.stages import Stage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_NAME = "lead-serving"


class Tracing:
    """Creates the spans of requests.

    Args:
        processor: exports finished spans.
    """

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or _NAME})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer(_NAME)
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, notes: Notes, traceparent: str, tracestate: str = "") -> Span:
        """Start a request's span, as a child of the caller's if it sent one."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, format_trace_id

        carrier = {"traceparent": traceparent, "tracestate": tracestate}
        parent = self._propagator.extract(carrier, Context()) if traceparent else Context()
        span = self._tracer.start_span("request", parent, SpanKind.SERVER)
        notes.trace_id = format_trace_id(span.get_span_context().trace_id)
        return span

    def end(self, span: Span, notes: Notes, stages: Iterable[Stage], *, method: str, route: str, status: int) -> None:
        """Finish a request's span, with the attributes from its notes.

        Args:
            stages: the stages before scoring; those of scoring are in the notes.
        """
        from opentelemetry.context import Context
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        if span.is_recording():
            below = set_span_in_context(span, Context())
            for stage in (*stages, *notes.stages):
                self._tracer.start_span(stage.name, below, start_time=stage.began).end(stage.ended)
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "leads.request_id": notes.request_id,
                    "leads.harms": notes.harms,
                    "leads.versions": notes.versions,
                }
            )
            if notes.subjects is not None:
                span.set_attribute("leads.subjects", notes.subjects)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def close(self) -> None:
        """Export pending spans. Blocks, at most for the exporter's timeout."""
        self._provider.shutdown()


def open_tracing(settings: Settings) -> Tracing | None:
    """Open tracing as configured; None if it is off.

    Raises:
        ConfigurationError: the exporter is not installed.
    """
    if settings.traces == "off":
        return None
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return Tracing(BatchSpanProcessor(_otlp() if settings.traces == "otlp" else _console()))


def _otlp() -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ConfigurationError(
            "OpenTelemetry's OTLP exporter is not installed.",
            field="LEADS_TRACES",
            remedy="Install opentelemetry-exporter-otlp-proto-http, or set LEADS_TRACES=off.",
        ) from error
    exporter: SpanExporter = OTLPSpanExporter()
    return exporter


def _console() -> SpanExporter:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    return ConsoleSpanExporter(out=sys.stdout, formatter=lambda span: span.to_json(indent=None) + "\n")

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from leads.errors import ConfigurationError
from leads.settings import load_settings
from serving.observe.request_notes import Notes
from serving.observe.tracing import Tracing, open_tracing
from serving.scoring.stages import Stage


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def run(tracing: Tracing, traceparent: str = "", status: int = 200) -> Notes:
    notes = Notes("r-1")
    notes.note_scoring([Stage("lookup", 1_000, 3_000)], subjects=1)
    span = tracing.begin(notes, traceparent)
    tracing.end(span, notes, [Stage("auth", 0, 1_000)], method="POST", route="/v1/score", status=status)
    return notes


def test_stages_keep_their_times(spans: InMemorySpanExporter) -> None:
    run(Tracing(SimpleSpanProcessor(spans)))
    times = {span.name: (span.start_time, span.end_time) for span in spans.get_finished_spans()}
    assert times["auth"] == (0, 1_000)
    assert times["lookup"] == (1_000, 3_000)


def test_without_a_parent_each_request_has_its_own_trace(spans: InMemorySpanExporter) -> None:
    tracing = Tracing(SimpleSpanProcessor(spans))
    ids = {run(tracing, parent).trace_id for parent in ("", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01")}
    assert len(ids) == 3
    assert all(span.parent is None for span in spans.get_finished_spans() if span.name == "POST /v1/score")


def test_a_callers_sampling_decision_is_followed(spans: InMemorySpanExporter) -> None:
    notes = run(Tracing(SimpleSpanProcessor(spans)), f"00-{'a' * 32}-{'b' * 16}-00")
    assert notes.trace_id == "a" * 32
    assert spans.get_finished_spans() == ()


def test_the_standard_variable_turns_sampling_off(spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    run(Tracing(SimpleSpanProcessor(spans)))
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize(
    ("status", "code"), [(200, StatusCode.UNSET), (422, StatusCode.UNSET), (503, StatusCode.ERROR)]
)
def test_only_server_errors_are_marked_as_errors(spans: InMemorySpanExporter, status: int, code: StatusCode) -> None:
    run(Tracing(SimpleSpanProcessor(spans)), status=status)
    (root,) = (span for span in spans.get_finished_spans() if span.name == "POST /v1/score")
    assert root.status.status_code == code


def test_tracing_is_off_by_default(tmp_path: Path) -> None:
    assert open_tracing(load_settings(home=tmp_path)) is None


def test_the_console_gets_one_json_line_for_each_span(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracing = open_tracing(load_settings(home=tmp_path, traces="console"))
    assert tracing is not None
    notes = run(tracing)
    tracing.close()
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {span["name"] for span in printed} == {"auth", "lookup", "POST /v1/score"}
    assert {span["context"]["trace_id"] for span in printed} == {f"0x{notes.trace_id}"}
    assert printed[0]["resource"]["attributes"]["service.name"] == "lead-serving"


def test_without_the_exporter_the_setting_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match="OTLP exporter") as refused:
        open_tracing(load_settings(home=tmp_path, traces="otlp"))
    assert refused.value.field == "LEADS_TRACES"

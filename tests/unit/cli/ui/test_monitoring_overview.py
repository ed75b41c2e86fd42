"""The morning overview: a row for each harm, the pages one by one, and how many digest alerts there are by rule."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from cli.checks.contents import counts_of
from cli.ui.monitoring.overview import overview_document, show_overview
from leads import clock
from leads.alerting.alert import Alert, Detail
from leads.db.monitoring import alerts, rows
from leads.db.monitoring.rows import MetricRow
from leads.policies import load_policies
from leads.settings import Settings

NOW = clock.now() // clock.HOUR * clock.HOUR


def row(name: str, value: float, *, slice_: str = "", lo: float | None = None, hi: float | None = None) -> MetricRow:
    return MetricRow("spam", "1", slice_, NOW - clock.DAY, NOW, name, value, lo, hi, 900, "test")


def alert(rule: str, severity: str, slice_: str = "") -> Alert:
    detail = Detail("A title", "It moved.", "m", "test", 9, NOW - clock.DAY, NOW, "Look.", "drift")
    at = NOW - clock.HOUR
    return Alert(
        seq=0, rule=rule, harm="spam", slice=slice_, version="1", severity=severity, state="firing", since=at,  # type: ignore[arg-type]
        opened_at=at, seen_at=at, resolved_at=None, sent_at=None, sent_worst=None, value=0.25, lo=None, hi=None,
        limit=0.1, worst=0.1, detail=detail, acknowledged_by=None, acknowledged_at=None, note=None,
    )  # fmt: skip


@pytest.fixture
def measured(settings: Settings, engine: Engine) -> Settings:
    with engine.begin() as connection:
        rows.write(
            connection,
            "r",
            [
                row("drift.verdict", 1.0, slice_="against=reference"),
                row("performance.precision", 0.8, lo=0.7, hi=0.9),
                row("predictions.volume", 12_345.0),
            ],
        )
        alerts.add(connection, alert("skew", "page"))
        for column in "abc":
            alerts.add(connection, alert("input_drift", "digest", f"column={column}"))
        alerts.add(connection, alert("score_drift", "digest"))
    return settings


def test_a_harm_is_one_row_and_pages_one_line(measured: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    policies = load_policies(measured.policies)
    counts = counts_of(measured, policies)
    assert counts is not None
    show_overview(measured, policies, counts)
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if line.startswith("spam ")]
    assert line.split()[:5] == ["spam", "drift", "1", "page,", "4"]
    assert "80.0% (70% to 90%)" in line
    assert "12,345" in line
    assert next(line for line in shown.splitlines() if line.startswith("page ")).endswith("now 0.25")
    assert "digest 3 input_drift, 1 score_drift" in shown


def test_before_anything_is_measured_nothing_is_shown(
    settings: Settings, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = load_policies(settings.policies)
    counts = counts_of(settings, policies)
    assert counts is not None
    show_overview(settings, policies, counts)
    assert capsys.readouterr().out == ""


def test_programs_get_the_same(measured: Settings) -> None:
    made = overview_document(measured, load_policies(measured.policies))
    assert made["harms"]["spam"]["performance.precision"]["lo"] == 0.7
    assert [one["rule"] for one in made["alerts"]].count("input_drift") == 3

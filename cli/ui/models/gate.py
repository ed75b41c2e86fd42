"""The gate's report."""

from __future__ import annotations

from cli.ui.models.figures import side_by_side
from cli.ui.terminal import console, escape, table
from training.gate.gate import GateReport

_COLUMNS = ("check", "found", "needed", "result", "why")
_RESULTS = {True: "[green]pass[/green]", False: "[red]fail[/red]"}
_CAPTION = (
    "With 95% intervals, equal texts resampled together. Higher is better for average precision, precision and recall; "
    "lower for the Brier score and the calibration error."
)


def print_gate(report: GateReport) -> None:
    """Show candidate and champion on the same rows, if there is a champion, and the result of each check."""
    print_side_by_side(report)
    rows = [
        (
            check.name,
            escape(check.found),
            escape(check.needed),
            "[yellow]excused[/yellow]" if check.excused else _RESULTS[check.passed],
            escape(check.why),
        )
        for check in report.checks
    ]
    against = f"Compared with v{report.champion}." if report.champion else report.why_no_champion
    title = f"Gate: {report.harm} v{report.candidate} on {_on(report)}. {against}"
    console.print(table(escape(title), _COLUMNS, rows))


def print_side_by_side(report: GateReport) -> None:
    """Show the figures of champion and candidate on the same rows; nothing without a champion or enough rows."""
    if not (report.champion and report.measures):
        return
    columns = ("measure", f"v{report.champion} (champion)", f"v{report.candidate} (candidate)", "difference")
    title = f"{report.harm}: {columns[1]} and {columns[2]} on {_on(report)}"
    rows = side_by_side(report.measures, report.figures)
    console.print(table(escape(title), columns, rows, right=columns[1:], caption=escape(_caption(report))))


def _caption(report: GateReport) -> str:
    return f"{_CAPTION} {report.overlap.text()}" if report.overlap else _CAPTION


def _on(report: GateReport) -> str:
    return report.evidence.text() if report.evidence else f"{report.rows:,} held-out rows"

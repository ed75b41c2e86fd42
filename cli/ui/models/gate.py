"""The gate's report."""

from __future__ import annotations

from rich.markup import escape

from cli.ui.terminal import console, table
from training.gate.gate import GateReport

_COLUMNS = ("check", "found", "needed", "result", "why")
_RESULTS = {True: "[green]pass[/green]", False: "[red]fail[/red]"}


def print_gate(report: GateReport) -> None:
    """Show the result of each of the gate's checks."""
    rows = [
        (check.name, escape(check.found), escape(check.needed), _RESULTS[check.passed], escape(check.why))
        for check in report.checks
    ]
    against = f"Compared with v{report.champion}." if report.champion else report.why_no_champion
    title = f"Gate: {report.harm} v{report.candidate} on {report.rows:,} held-out rows. {against}"
    console.print(table(escape(title), _COLUMNS, rows))

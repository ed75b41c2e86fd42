"""The result of a drift check."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from cli.ui.database import opened
from cli.ui.terminal import console, escape, minute, next_steps, table
from leads import clock
from leads.clock import Micros
from leads.db.drift_verdicts import DriftVerdict, record
from leads.messages.wording import counted
from leads.policies import Policies
from leads.settings import Settings
from monitoring.drift.detect import DRIFTED_SHARE, ColumnDrift, DriftResult, Summary, drift
from monitoring.drift.report import RENDERED_ROWS
from monitoring.logged_window import ahead_text

SHOWN = 12


def show_drift(
    settings: Settings, policies: Policies, harm: str, *, days: float = 1.0, until: Micros | None = None, quiet: bool
) -> bool:
    """Check the `days` before `until` and show the result; returns whether there is drift.

    Args:
        until: µs; default: the newest prediction.

    Raises:
        NotFound, NotEnoughData, Unavailable: as `drift`.
    """
    with console.status(f"comparing {harm} with its reference"):
        result = drift(settings, policies, harm, until=until, length=int(days * clock.DAY))
    _keep(settings, result)
    console.print(render(result))
    if not quiet:
        next_steps(
            (f"xdg-open {result.report}", "see the distribution of every column"),
            (f"leads retrain {harm}", "retrain with the newest decisions"),
            (f"leads skew {harm}", "check for training-serving skew"),
        )
    return result.drifted


def _keep(settings: Settings, result: DriftResult) -> None:
    """Save the verdict: `leads retrain` retrains harms with drift."""
    verdict = DriftVerdict(
        clock.now(),
        result.harm,
        result.version,
        result.since,
        result.until,
        result.rows,
        result.drifted,
        result.score.drifted,
        result.share,
    )
    with opened(settings) as engine, engine.begin() as connection:
        record(connection, verdict)


def render(result: DriftResult) -> RenderableType:
    """A panel with the verdict, and a table of the columns with the most drift."""
    return Group(_verdict(result), _columns(result))


def _verdict(result: DriftResult) -> Panel:
    drifted = len(result.drifted_columns)
    lines = [
        f"{result.harm} v{result.version}, predictions from {minute(result.since)} to {minute(result.until)} UTC",
        f"{counted(result.rows, 'subject')} ({counted(result.predictions, 'prediction')}), "
        f"compared with {result.reference_rows:,} in the reference sample",
        f"Score: {'drift' if result.score.drifted else 'no drift'}, "
        f"distance {result.score.statistic:.3f} (threshold {result.score.threshold:.3f})",
        f"Inputs: {drifted} of {len(result.columns)} drifted, {result.share:.0%} (threshold {DRIFTED_SHARE:.0%})",
    ]
    if result.unreadable:
        lines.append(f"Skipped {result.unreadable} unreadable segments of the prediction log")
    if result.ahead.predictions:
        lines.append(f"Left out {ahead_text(result.ahead)}")
    shown = f" (a sample of {RENDERED_ROWS:,} rows)" if max(result.rows, result.reference_rows) > RENDERED_ROWS else ""
    lines.append(f"Report{shown}: {result.report}")
    title, style = ("DRIFT", "red") if result.drifted else ("No drift", "green")
    return Panel(Text("\n".join(lines)), title=f"[bold]{title}[/bold]", title_align="left", border_style=style)


def _columns(result: DriftResult) -> RenderableType:
    shown = (result.score, *result.columns[:SHOWN])
    left_out = len(result.columns) + 1 - len(shown)
    return table(
        "Columns with the most drift" + (f" ({left_out} more in the report)" if left_out else ""),
        ("column", "distance", "threshold", "mean", "median", "missing", ""),
        (_row(column) for column in shown),
        right=("distance", "threshold", "mean", "median", "missing"),
        caption="Mean, median and missing: reference → current. Distance: Wasserstein, in the reference's standard "
        "deviations.",
    )


def _row(column: ColumnDrift) -> tuple[str, ...]:
    before, after = column.reference, column.current
    return (
        escape(column.name),
        f"{column.statistic:.3f}",
        f"{column.threshold:.3f}",
        _change(before, after, "mean"),
        _change(before, after, "median"),
        f"{before.missing:.0%} → {after.missing:.0%}",
        "[red]drifted[/red]" if column.drifted else "",
    )


def _change(before: Summary, after: Summary, what: str) -> str:
    return f"{_short(getattr(before, what))} → {_short(getattr(after, what))}"


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.3g}" if abs(value) < 1_000 else f"{value:,.0f}"

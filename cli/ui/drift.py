"""The drift verdict on one screen."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.ui.terminal import console, next_steps, table
from leads import clock
from leads.clock import Micros
from leads.db.drift_verdicts import DriftVerdict, record
from leads.db.engine import open_engine
from leads.policies import Policies
from leads.settings import Settings
from monitoring.drift.detect import DRIFTED_SHARE, ColumnDrift, DriftResult, Summary, drift
from monitoring.drift.report import RENDERED_ROWS

SHOWN = 12


def drift_on_screen(settings: Settings, policies: Policies, harm: str, *, days: float = 1.0, quiet: bool) -> bool:
    """Measure drift over the `days` that end with the newest prediction and show the verdict; true when it drifted."""
    result = drift(settings, policies, harm, length=int(days * clock.DAY))
    _keep(settings, result)
    console.print(render(result))
    if not quiet:
        next_steps(
            (f"xdg-open {result.report}", "every column's distributions side by side"),
            (f"leads retrain {harm}", "learn from the newest decisions"),
        )
    return result.drifted


def _keep(settings: Settings, result: DriftResult) -> None:
    """Keep the verdict, for `leads retrain` to act on."""
    engine = open_engine(settings)
    try:
        with engine.begin() as connection:
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
            record(connection, verdict)
    finally:
        engine.dispose()


def render(result: DriftResult) -> RenderableType:
    """A panel with the verdict, and the columns that drifted or came closest to it."""
    return Group(_verdict(result), _columns(result))


def _verdict(result: DriftResult) -> Panel:
    drifted = len(result.drifted_columns)
    lines = [
        f"{result.harm} version {result.version}: {_minute(result.since)} to {_minute(result.until)}",
        f"{result.rows:,} subjects ({result.predictions:,} predictions) against {result.reference_rows:,} of the "
        "reference",
        f"score: distance {result.score.statistic:.3f}, threshold {result.score.threshold:.3f}: "
        + ("drifted" if result.score.drifted else "no drift"),
        f"inputs: {drifted} of {len(result.columns)} drifted ({result.share:.0%}); alarm from {DRIFTED_SHARE:.0%}",
    ]
    if result.unreadable:
        lines.append(f"segments of the prediction log that can't be read, left out: {result.unreadable}")
    shown = f", on a sample of {RENDERED_ROWS:,}" if max(result.rows, result.reference_rows) > RENDERED_ROWS else ""
    lines.append(f"report{shown}: {result.report}")
    title, style = ("DRIFT", "red") if result.drifted else ("no drift", "green")
    return Panel(Text("\n".join(lines)), title=f"[bold]{title}[/bold]", title_align="left", border_style=style)


def _columns(result: DriftResult) -> Table:
    shown = (result.score, *result.columns[:SHOWN])
    left_out = len(result.columns) + 1 - len(shown)
    made = table(
        "Columns, the most drifted first" + (f" ({left_out} more below these)" if left_out else ""),
        ("column", "distance", "threshold", "mean", "median", "missing", ""),
        (_row(column) for column in shown),
        right=("distance", "threshold", "mean", "median", "missing"),
    )
    made.caption = "reference → current. Distance: Wasserstein, in standard deviations of the reference."
    made.caption_justify = "left"
    return made


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


def _minute(at: Micros) -> str:
    return clock.to_datetime(at).strftime("%Y-%m-%d %H:%M") + "Z"

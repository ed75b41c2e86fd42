"""The result of a check for training-serving skew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from cli.ui.terminal import console, escape, minute, next_steps, note, progress, table
from leads import clock
from leads.clock import Micros
from leads.files import write_json
from leads.messages.wording import counted, short_number
from leads.policies import Policies
from leads.settings import Settings
from monitoring.logged_window import ahead_text
from monitoring.skew.check import SAMPLE, check
from monitoring.skew.results import ColumnSkew, HarmSkew, SkewResult

SHOWN = 30
_NAMED = 10


def show_skew(
    settings: Settings,
    policies: Policies,
    harm: str | None,
    *,
    days: float,
    until: Micros | None,
    sample: int,
    lag_s: float,
    json: Path | None,
    quiet: bool,
) -> bool:
    """Recompute the features of logged predictions and show what differs; returns whether anything does.

    Raises:
        NotFound: an unknown harm, or no prediction is logged.
    """
    if harm is not None:
        policies.harm(harm, field="HARM")
    with progress("predictions checked") as tell:
        result = check(
            settings,
            [harm] if harm else None,
            until=until,
            length=int(days * clock.DAY),
            sample=sample,
            lag=int(lag_s * clock.SECOND),
            on_progress=tell,
        )
    console.print(render(result))
    if json is not None:
        write_json(json, result)
        note(f"Wrote the full result to {escape(str(json))}.")
    if not quiet:
        next_steps(*_steps(result))
    return result.differs


def render(result: SkewResult) -> RenderableType:
    """A panel with the verdict, tables of what was checked and what differs, and what could not be checked."""
    parts: list[RenderableType] = [_verdict(result), _harms(result)]
    if result.differs:
        parts.append(_columns(result))
    return Group(*parts, *_remarks(result))


def _verdict(result: SkewResult) -> Panel:
    differing = sum(one.differing for one in result.harms)
    if result.differs:
        title, style = "SKEW", "red"
        text = f"{differing:,} of {counted(result.checked, 'prediction')} used features that training would not see."
    elif result.checked:
        title, style = "No skew", "green"
        text = f"{counted(result.checked, 'prediction')} used exactly the features that training would see."
    else:
        title, style, text = "Nothing checked", "yellow", "No prediction's features could be recomputed."
    text = "\n".join([text, *map(_window, result.harms), *_left_out(result)])
    return Panel(Text(text), title=f"[bold]{title}[/bold]", title_align="left", border_style=style)


def _window(one: HarmSkew) -> str:
    """Which predictions of a harm were in the check, and how many weren't."""
    line = f"{one.harm}: predictions from {minute(one.since)} to {minute(one.until)} UTC"
    others = (one.outside.older, "older"), (one.outside.newer, "newer")
    left_out = [counted(n, f"{which} one", f"{which} ones") for n, which in others if n]
    return f"{line}, without {' and '.join(left_out)}" if left_out else line


def _left_out(result: SkewResult) -> list[str]:
    """How to check the logged predictions that this check left out."""
    oldest = [(one.until - one.outside.oldest) / clock.DAY for one in result.harms if one.outside.oldest is not None]
    lines = []
    if oldest:
        most = max(one.predictions + one.outside.older for one in result.harms)
        sample = f" --sample {most}" if most > SAMPLE else ""
        lines.append(f"To check the older ones too: leads skew --days {math.ceil(max(oldest))}{sample}")
    if any(one.outside.newer for one in result.harms):
        lines.append("To check the newer ones: leave out --until")
    return lines


def _harms(result: SkewResult) -> RenderableType:
    right = ("logged", "checked", "columns", "differing", "not checkable", "too new", "lagging", "lag p99")
    return table(
        "Predictions checked",
        ("harm", *right),
        map(_row, result.harms),
        right=right,
    )


def _row(one: HarmSkew) -> tuple[str, ...]:
    differing = f"[red]{one.differing:,}[/red]" if one.differing else "0"
    return (
        escape(one.harm),
        f"{one.predictions:,}",
        f"{one.checked:,}",
        str(one.columns),
        differing,
        f"{one.not_verified:,}",
        f"{one.too_new:,}",
        f"{one.lag.share:.2%}",
        f"{one.lag.p99_s:.2f} s",
    )


def _columns(result: SkewResult) -> RenderableType:
    found = [(one.harm, column) for one in result.harms for column in one.differences]
    found.sort(key=lambda pair: -pair[1].predictions)
    more = f" ({len(found) - SHOWN} more with --json)" if len(found) > SHOWN else ""
    right = ("predictions", "largest")
    return table(
        f"Columns that differ{more}",
        ("harm", "kind", "column", *right, "example"),
        (_column(harm, column) for harm, column in found[:SHOWN]),
        right=right,
    )


def _column(harm: str, one: ColumnSkew) -> tuple[str, ...]:
    example = one.example
    return (
        escape(harm),
        one.kind,
        f"{one.column}\n[dim]{escape(one.meaning)}[/dim]",
        f"{one.predictions:,}",
        short_number(one.largest, 6),
        f"{escape(example.subject)}\n{clock.to_text(example.at)}\n"
        f"served {short_number(example.served, 6)}, expected {short_number(example.expected, 6)}",
    )


def _remarks(result: SkewResult) -> Sequence[Text]:
    """What was not checked, and what is worth knowing although it is not a difference."""
    lines = []
    for one in result.harms:
        lines += [
            f"{one.harm}: {counted(left.predictions, 'prediction')} of v{left.version} can't be recomputed: {left.why}"
            for left in one.unverifiable
        ]
        predictions = (
            (
                one.predictions - one.sampled,
                "is outside the sample; raise --sample to check more",
                "are outside the sample; raise --sample to check more",
            ),
            (
                one.too_new,
                "is newer than the newest segment; the next check covers it",
                "are newer than the newest segment; the next check covers them",
            ),
            (
                one.texts_unverifiable,
                "is of a text that isn't in the event log; its other columns were checked",
                "are of a text that isn't in the event log; their other columns were checked",
            ),
            (
                one.texts_ahead,
                "used a text that became visible only after it was made",
                "used a text that became visible only after they were made",
            ),
            (
                one.rows_ahead,
                "used a feature row that became visible only after it was made",
                "used a feature row that became visible only after they were made",
            ),
            (one.links_differ, *(2 * ("used other links than those stored, for example sent by the caller",))),
        )
        lines += [
            f"{one.harm}: {counted(n, f'prediction {singular}', f'predictions {plural}')}"
            for n, singular, plural in predictions
            if n
        ]
        if one.columns_unverifiable:
            columns = counted(len(one.columns_unverifiable), "column is", "columns are")
            named = ", ".join(
                [*one.columns_unverifiable[:_NAMED], *("…" for _ in one.columns_unverifiable[_NAMED:][:1])]
            )
            why = "it isn't known when their values became available"
            lines.append(f"{one.harm}: {columns} not verifiable, because {why}: {named}")
        if one.unreadable:
            segments = counted(one.unreadable, "unreadable segment", "unreadable segments")
            were = "was" if one.unreadable == 1 else "were"
            lines.append(f"{one.harm}: {segments} of the prediction log {were} skipped")
        if one.ahead.predictions:
            lines.append(f"{one.harm}: left out {ahead_text(one.ahead)}")
    return [Text(line, style="dim") for line in lines]


def _steps(result: SkewResult) -> Sequence[tuple[str, str]]:
    if not result.differs:
        return (("leads drift HARM", "detect drift from the reference sample"),)
    kinds = {column.kind for one in result.harms for column in one.differences}
    steps = [("leads skew --json skew.json", "save every column that differs")]
    if kinds & {"stale row", "missing row"}:
        steps.append(("leads status", "see how far the worker is behind"))
    steps.append(("leads worker --rebuild --once", "recompute all feature rows, if the online store is damaged"))
    return steps

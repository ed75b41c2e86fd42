"""The skew verdict on one screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.ui.terminal import console, next_steps, note, progress, table
from leads import clock
from leads.clock import Micros
from leads.errors import InvalidInput
from leads.files import write_json
from leads.policies import load_policies
from leads.settings import Settings
from monitoring.skew.check import check
from monitoring.skew.results import ColumnSkew, HarmSkew, SkewResult

SHOWN = 30


def skew_on_screen(
    settings: Settings,
    harm: str | None,
    *,
    days: float,
    until: str | None,
    sample: int,
    lag_s: float,
    json: Path | None,
    quiet: bool,
) -> bool:
    """Derive logged predictions again and show what differs; true when anything does.

    Raises:
        InvalidInput: `until` is no instant.
        NotFound: no such harm, or nothing is logged.
    """
    if harm is not None:
        load_policies(settings.policies).harm(harm)
    with progress("predictions checked") as tell:
        result = check(
            settings,
            [harm] if harm else None,
            until=_instant(until),
            length=int(days * clock.DAY),
            sample=sample,
            lag=int(lag_s * clock.SECOND),
            on_progress=tell,
        )
    console.print(render(result))
    if json is not None:
        write_json(json, result)
        note(f"Written to {json}.")
    if not quiet:
        next_steps(*_steps(result))
    return result.differs


def render(result: SkewResult) -> RenderableType:
    """A panel with the verdict, what was checked per harm, the columns that differ, and what could not be checked."""
    parts: list[RenderableType] = [_verdict(result), _harms(result)]
    if result.differs:
        parts.append(_columns(result))
    return Group(*parts, *_remarks(result))


def _instant(text: str | None) -> Micros | None:
    if text is None:
        return None
    try:
        return clock.from_text(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is no instant.", field="--until", remedy="Write it like 2026-01-31T12:00:00Z."
        ) from error


def _verdict(result: SkewResult) -> Panel:
    differing = sum(one.differing for one in result.harms)
    if result.differs:
        title, style = "SKEW", "red"
        text = f"{differing:,} of {result.checked:,} predictions were not served as training would see them."
    elif result.checked:
        title, style = "no skew", "green"
        text = f"{result.checked:,} predictions were served as training would see them, value for value."
    else:
        title, style, text = "nothing checked", "yellow", "No prediction could be derived again."
    return Panel(Text(text), title=f"[bold]{title}[/bold]", title_align="left", border_style=style)


def _harms(result: SkewResult) -> Table:
    right = ("logged", "checked", "columns", "differing", "unverifiable", "too new", "behind", "lag p99")
    return table("Predictions, derived again from the segments", ("harm", *right), map(_row, result.harms), right=right)


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


def _columns(result: SkewResult) -> Table:
    found = [(one.harm, column) for one in result.harms for column in one.differences]
    found.sort(key=lambda pair: -pair[1].predictions)
    more = f" ({len(found) - SHOWN} more below these)" if len(found) > SHOWN else ""
    right = ("predictions", "largest")
    return table(
        f"What differs{more}",
        ("harm", "kind", "column", *right, "for example"),
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
        _short(one.largest),
        f"{escape(example.subject)}\n{clock.to_text(example.at)}\n"
        f"served {_short(example.served)}, expected {_short(example.expected)}",
    )


def _remarks(result: SkewResult) -> Sequence[Text]:
    """What was left out, and what is worth knowing though it is no difference."""
    lines = []
    for one in result.harms:
        lines += [
            f"{one.harm}: {left.predictions:,} predictions of version {left.version} can't be derived again: {left.why}"
            for left in one.unverifiable
        ]
        told = (
            (one.predictions - one.sampled, "predictions are outside the sample; --sample takes more"),
            (one.too_new, "predictions are newer than the newest segment, and left to the next run"),
            (one.texts_unverifiable, "judged a text that isn't in the log: all but the text's columns were checked"),
            (one.texts_ahead, "judged a text that became visible only after their instant"),
            (one.rows_ahead, "were made from a row that became visible only after their instant"),
            (one.links_differ, "followed other links than those stored, as when a caller gives its own"),
            (one.unreadable, "segments of the prediction log can't be read and are left out"),
        )
        lines += [f"{one.harm}: {n:,} {what}" for n, what in told if n]
    return [Text(line, style="dim") for line in lines]


def _steps(result: SkewResult) -> Sequence[tuple[str, str]]:
    if not result.differs:
        return (("leads drift HARM", "has what the model sees moved"),)
    kinds = {column.kind for one in result.harms for column in one.differences}
    steps = [("leads skew --json skew.json", "every column that differs, for a report")]
    if kinds & {"stale row", "missing row"}:
        steps.append(("leads status", "how far the worker is behind"))
    steps.append(("leads worker --rebuild --once", "derive every row again, when the online store went wrong"))
    return steps


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:,.6g}"

"""What `leads drift` prints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from cli.ui.terminal import age, console, escape, minute, next_steps, note, progress, table
from leads import clock
from leads.clock import Micros
from leads.errors import Conflict, NotFound
from leads.files import write_json
from leads.messages.wording import short_number
from leads.policies import Policies
from leads.settings import Settings
from monitoring.drift.check import DriftCheck, check, document
from monitoring.drift.explain import Explanation, explain, explanation_document
from monitoring.drift.results import DRIFTED_SHARE, REFERENCE, ColumnDrift, Comparison
from monitoring.running.all_jobs import describe
from monitoring.running.opened import opened_world
from monitoring.running.run import run
from monitoring.watch.world import World

SHOWN = 12
_CHANGES = 15
# An hour that isn't over may have no predictions yet.
_QUIET_FOR: Micros = 2 * clock.HOUR


class Look(NamedTuple):
    """What to look at: see `monitoring.drift.check.check`.

    Args:
        explain: also rank what changed.
    """

    days: float | None = None
    until: Micros | None = None
    version: str | None = None
    explain: bool = False


def show_drift(
    settings: Settings, policies: Policies, harm: str | None, look: Look, *, json: Path | None = None, quiet: bool
) -> bool | None:
    """Check one harm, or all if None, and show the result; returns whether there is drift, None without any verdict.

    Raises:
        NotFound: an unknown harm.
        InvalidInput: the window isn't valid.
        NotEnoughData: too few predictions to explain anything.
        Unavailable: the database or the registry can't be reached.
    """
    harms = tuple(policies.harms) if harm is None else (harm,)
    for one in harms:
        policies.harm(one, field="HARM")
    with opened_world(settings, policies) as world:
        with console.status("summarising predictions"):
            _summarise(world, harms)
        found = []
        for one in harms:
            try:
                found.append(check(world, one, days=look.days, until=look.until, version=look.version))
            except NotFound as error:
                if harm is not None:
                    raise
                # Of all harms, some may not have been trained yet.
                note(escape(str(error)))
        for checked in found:
            console.print(render(checked, world.now, brief=harm is None))
        explained = [_explained(world, one) for one in found if one.drifted is not None] if look.explain else []
        for line in world.notes:
            note(escape(line))
    if json is not None:
        documents = [document(one) for one in found]
        parts = {"explained": [explanation_document(one) for one in explained]} if look.explain else {}
        write_json(json, {"harms": documents, **parts})
    if found and not quiet:
        _say_next(found, look)
    verdicts = [one.drifted for one in found]
    return True if True in verdicts else None if None in verdicts or not verdicts else False


def _summarise(world: World, harms: Sequence[str]) -> None:
    """Bring the summaries of this host up to date."""
    try:
        run(world, describe=describe(world), harms=harms, measuring=False)
    except Conflict:
        # A run of the jobs does the same right now.
        return


def _explained(world: World, found: DriftCheck) -> Explanation:
    with progress("hours read") as tell:
        explained = explain(world, found.harm, found.since, found.until, describe=describe(world), on_hour=tell)
    console.print(render_explanation(explained))
    for line in explained.notes:
        note(escape(line))
    return explained


def _say_next(found: Sequence[DriftCheck], look: Look) -> None:
    one = next((one for one in found if one.drifted), found[0])
    if one.drifted is None:
        next_steps(("leads status", "see whether the service and its worker run"))
        return
    explain_ = (f"leads drift {one.harm} --explain", "rank what changed since the windows before")
    steps = [] if look.explain else [explain_]
    if one.drifted:
        steps.append((f"leads retrain {one.harm}", "retrain with the newest decisions"))
    next_steps(*steps, (f"leads skew {one.harm}", "check for training-serving skew"))


def render(found: DriftCheck, now: Micros, *, brief: bool = False) -> RenderableType:
    """A panel with the verdict and, unless `brief`, a table of the columns of each verdict."""
    panel = _verdict(found, now)
    tables = [] if brief else [_columns(one) for one in found.measured.verdicts]
    return Group(panel, *tables)


def _verdict(found: DriftCheck, now: Micros) -> Panel:
    lines = [f"{found.harm}, predictions from {minute(found.since)} to {minute(found.until)} UTC"]
    for one in found.measured.verdicts:
        lines += _lines(one)
    others = [one for one in found.measured.comparisons if one not in found.measured.verdicts and one.drifted]
    for one in others:
        where = f" in {one.slice}" if one.slice else ""
        lines.append(f"Beyond the verdict: drift{where} against {one.alike} ({_named(one)})")
    if not found.measured.verdicts:
        whys = dict.fromkeys(f"This window has no verdict: {one.why}." for one in found.measured.too_few)
        lines += whys or ["This window has no verdict: it has no predictions."]
    lines += _outage(found, now)
    title, style = {True: ("DRIFT", "red"), False: ("No drift", "green"), None: ("No verdict yet", "yellow")}[
        found.drifted
    ]
    return Panel(Text("\n".join(lines)), title=f"[bold]{title}[/bold]", title_align="left", border_style=style)


def _outage(found: DriftCheck, now: Micros) -> list[str]:
    """That nothing was scored lately, if the window ends now."""
    if found.newest is None:
        return [f"Nothing was scored for {found.harm} before. Score something first: leads serve, then POST /v1/score."]
    quiet = found.until - found.newest
    if quiet < _QUIET_FOR:
        return []
    return [
        f"Nothing was scored in the window's last {age(quiet)}: the newest predictions are from before "
        f"{minute(found.newest)} UTC, {age(now - found.newest)} ago."
    ]


def _lines(one: Comparison) -> list[str]:
    of = f"version {one.version}" if one.version else "all versions"
    lines = [
        f"{of}: {one.rows:,} subjects, counted once an hour ({one.predictions:,} predictions), compared with "
        f"{one.alike} ({one.of_rows:,.0f} rows)"
    ]
    score = one.column("score")
    if score is not None:
        lines.append(
            f"Score: {'drift' if score.drifted else 'no drift'}, distance {score.value:.3f} (threshold "
            f"{score.threshold:.3f})"
        )
    inputs = one.inputs
    lines.append(
        f"Inputs: {sum(inputs.values())} of {len(inputs)} drifted, {one.share:.0%} (threshold {DRIFTED_SHARE:.0%})"
    )
    return lines


def _named(one: Comparison) -> str:
    drifted = [column.name for column in one.columns if column.drifted]
    return ", ".join(drifted[:3]) + (f" and {len(drifted) - 3} more" if len(drifted) > 3 else "")


def _columns(one: Comparison) -> RenderableType:
    shown = one.columns[:SHOWN]
    left_out = len(one.columns) - len(shown)
    against = "the reference sample" if one.against == REFERENCE else one.alike
    return table(
        f"Columns compared with {against}" + (f" ({left_out} more with --json)" if left_out else ""),
        ("column", "distance", "threshold", "importance", "mean", "median", "missing", ""),
        (_row(column) for column in shown),
        right=("distance", "threshold", "importance", "mean", "median", "missing"),
        caption="Drift first, by effect × importance. Mean, median and missing: before → now. A column that grows with "
        "the platform's age doesn't count as drift.",
    )


def _row(column: ColumnDrift) -> tuple[str, ...]:
    before, after = column.reference, column.current
    return (
        escape(column.name),
        f"{column.value:.3f}",
        f"{column.threshold:.3f}",
        f"{column.importance:.0%}" if column.input else "",
        _change(before.mean, after.mean),
        _change(before.median, after.median),
        f"{before.missing:.0%} → {after.missing:.0%}" if column.input and not math.isnan(after.median) else "",
        "[red]drifted[/red]" if column.drifted else "grows" if column.grows else "",
    )


def render_explanation(found: Explanation) -> RenderableType:
    """A table of what changed most, with the mean in each window."""
    changed = [one for one in found.changes if one.drift.value > one.drift.threshold]
    shown = changed[:_CHANGES]
    rows = ", ".join(f"{rows:,}" for rows in found.rows)
    title = f"What changed in {found.harm} from {minute(found.since)} to {minute(found.until)} UTC"
    if not shown:
        return Text(f"\n{title}: nothing beyond chance ({rows} subjects in the windows).")
    return table(
        title + (f" ({len(changed) - len(shown)} more with --json)" if len(changed) > len(shown) else ""),
        ("column", "distance", "threshold", "importance", "four windows before", "now", "mostly in"),
        (
            (
                escape(one.drift.name),
                f"{one.drift.value:.3f}",
                f"{one.drift.threshold:.3f}",
                f"{one.drift.importance:.0%}" if one.drift.input else "",
                "  ".join(short_number(mean) for mean in one.means[:-1]),
                short_number(one.means[-1]),
                escape(f"{one.where} ({min(one.of_change, 1.0):.0%})") if one.where else "",
            )
            for one in shown
        ),
        right=("distance", "threshold", "importance", "four windows before", "now"),
        caption=f"By effect × importance, from this host's log; means, oldest window first. Subjects in the windows: "
        f"{rows}.",
    )


def _change(before: float, after: float) -> str:
    return "–" if math.isnan(before) and math.isnan(after) else f"{short_number(before)} → {short_number(after)}"

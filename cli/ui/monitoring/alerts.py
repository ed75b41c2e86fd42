"""Alerts and silences: what fires, why, and what was said about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.panel import Panel

from cli.ui.database import opened
from cli.ui.terminal import age, console, escape, minute, next_steps, note, print_json, table
from leads import clock
from leads.alerting.alert import Alert, AlertState
from leads.alerting.out import RUNBOOK, alert_out, detail_out
from leads.alerting.rules import RULES
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.model_changes import current_actor
from leads.db.monitoring import alerts, silences
from leads.db.monitoring.alerts import alert_not_found
from leads.db.monitoring.silences import EVERY, Silence
from leads.db.monitoring.surroundings import with_moves
from leads.errors import InvalidInput, NotFound
from leads.estimates.slices import slice_parts
from leads.messages.wording import short_number
from leads.policies import Policies
from leads.settings import REPOSITORY, Settings
from monitoring.output.wording import slice_text

_COLUMNS = ("id", "severity", "harm", "alert", "now", "since (UTC)", "state")
_SILENCES = ("id", "rule", "harm", "until (UTC)", "by", "why")
_SHOWN = 50
_STATES: dict[AlertState, int] = {"firing": 0, "acknowledged": 1, "resolved": 2}
# How long resolved alerts are listed.
_RESOLVED_FOR: Micros = 7 * clock.DAY
# In a shell, * would be replaced by the names of files.
ALL = "all"


def show_alerts(
    settings: Settings,
    policies: Policies,
    harm: str | None,
    *,
    rule: str | None,
    resolved: bool,
    json: bool,
    quiet: bool = False,
) -> None:
    """List the open alerts, those that nobody looks after and pages first, and the silences that hold.

    Args:
        resolved: also those that resolved in the last seven days.

    Raises:
        NotFound: an unknown harm.
    """
    if harm is not None:
        policies.harm(harm, field="--harm")
    now = clock.now()
    with opened(settings, create=False) as engine, reading(engine) as connection:
        found = alerts.listing(
            connection,
            states=() if resolved else ("firing", "acknowledged"),
            harms=None if harm is None else (harm,),
            rule=rule,
            resolved_since=now - _RESOLVED_FOR,
        )
        silenced = silences.active(connection, now)
    # What nobody looks after comes first. Those that opened together are numbered in the order of their importance.
    found = sorted(found, key=lambda one: (_STATES[one.state], one.severity != "page", -one.opened_at, one.seq))
    if json:
        print_json(msgspec.json.encode([alert_out(one) for one in found]))
        return
    if found:
        rows = [_row(one, silenced) for one in found[:_SHOWN]]
        more = f"{len(found) - _SHOWN:,} more aren't shown: name a --harm or a --rule." if len(found) > _SHOWN else None
        console.print(table("Alerts", _COLUMNS, rows, right=("now",), caption=more))
    else:
        note("No alerts are open." if not resolved else "There were no alerts in the last seven days.")
    if silenced:
        console.print(table("Silences: these alerts aren't sent", _SILENCES, [_silence_row(one) for one in silenced]))
    if quiet:
        return
    if found:
        first = found[0]
        steps = [(f"leads alerts show {first.seq}", "see what else happened, and what to do")]
        if first.state == "firing":
            steps.append((f"leads alerts ack {first.seq}", "say that you look after it"))
        next_steps(*steps, (f'leads alerts silence {first.rule} --for 4h --why "…"', "send nothing about this rule"))
    else:
        next_steps(("leads status", "see what was measured last"), ("leads monitor run", "measure whatever is due now"))


def show_alert(settings: Settings, seq: int, *, json: bool, quiet: bool = False) -> None:
    """Show an alert with its explanation.

    Raises:
        NotFound: there is no such alert.
    """
    with opened(settings, create=False) as engine, reading(engine) as connection:
        found = alerts.find(connection, seq)
        if found is None:
            raise alert_not_found()
        found = with_moves(connection, found, clock.now())
        silence = silences.covering(silences.active(connection, clock.now()), found)
    if json:
        print_json(msgspec.json.encode(detail_out(found)))
        return
    style = "red" if found.severity == "page" else "yellow"
    title = f"[bold]{escape(f'{found.severity} {found.seq}: {found.detail.title}')}[/bold]"
    text = "\n".join(escape(line) for line in _lines(found, silence))
    console.print(Panel(text, title=title, title_align="left", border_style=style if _is_open(found) else "green"))
    _show_slices(found)
    _show_also(found)
    if not quiet:
        _next_of(found)


def acknowledge_alert(settings: Settings, seq: int, *, why: str | None) -> None:
    """Record that whoever runs the command looks after an alert.

    Raises:
        NotFound: there is no such alert.
        Conflict: it is resolved.
    """
    with opened(settings, create=False) as engine, engine.begin() as connection:
        found = alerts.acknowledge(connection, seq, current_actor(), clock.now(), note=why)
    note(f"{escape(found.acknowledged_by or '')} looks after alert {found.seq}. It resolves by itself.")
    _next_of(found)


def add_silence(
    settings: Settings, policies: Policies, rule: str, *, harm: str | None, length: Micros, why: str
) -> None:
    """Send nothing about a rule's alerts for some time.

    Args:
        rule: its name, or `all`.

    Raises:
        NotFound: an unknown harm.
        InvalidInput: an unknown rule, or a length of 0 or over 90 days.
    """
    if harm is not None:
        policies.harm(harm, field="--harm")
    now = clock.now()
    with opened(settings, create=False) as engine, engine.begin() as connection:
        try:
            made = silences.add(
                connection,
                EVERY if rule == ALL else rule,
                harm or EVERY,
                now + length,
                by=current_actor(),
                why=why,
                now=now,
            )
        except InvalidInput as error:
            error.field = {"/rule": "RULE", "/until": "--for"}.get(error.field or "", error.field)
            raise
    of = "all rules" if made.rule == EVERY else escape(made.rule)
    note(f"Silenced {of}{'' if harm is None else f' for {escape(harm)}'} until {minute(made.until)} UTC.")
    note("Alerts are still recorded. Those that are open then are sent.")
    next_steps((f"leads alerts unsilence {made.seq}", "end it earlier"), ("leads alerts", "see what is silenced"))


def end_silence(settings: Settings, seq: int) -> None:
    """End a silence now.

    Raises:
        NotFound: there is no such silence.
    """
    with opened(settings, create=False) as engine, engine.begin() as connection:
        before = silences.find(connection, seq)
        if before is None:
            listed = ", ".join(str(one.seq) for one in silences.active(connection, clock.now())) or "none"
            raise NotFound("Silence not found.", field="ID", remedy=f"Silences that hold: {listed}. See: leads alerts")
        was_active = before.active(clock.now())
        silences.end(connection, seq, clock.now())
    note(f"Ended silence {seq}." if was_active else f"Silence {seq} had ended already.")
    next_steps(("leads alerts", "see what is open: the next run sends it"))


def _row(alert: Alert, silenced: Sequence[Silence]) -> tuple[str, ...]:
    state = f"acknowledged by {alert.acknowledged_by}" if alert.state == "acknowledged" else alert.state
    if _is_open(alert) and silences.covering(silenced, alert) is not None:
        state += ", silenced"
    page = alert.severity == "page" and _is_open(alert)
    return (
        str(alert.seq),
        f"[bold red]{alert.severity}[/bold red]" if page else alert.severity,
        escape(", ".join(alert.harms)) or "–",
        f"{escape(alert.detail.title)} [dim]({escape(alert.rule)})[/dim]",
        "–" if alert.value is None else short_number(alert.value),
        minute(alert.since),
        escape(state),
    )


def _silence_row(silence: Silence) -> tuple[str, ...]:
    rule, harm = (ALL if name == EVERY else escape(name) for name in (silence.rule, silence.harm))
    return str(silence.seq), rule, harm, minute(silence.until), escape(silence.by), escape(silence.why)


def _lines(alert: Alert, silence: Silence | None) -> list[str]:
    detail = alert.detail
    slice_ = ", ".join(f"{name} {value}" for name, value in slice_parts(alert.slice).items())
    lines = [
        f"Rule: {alert.rule}" + (f", {_harms(alert)}" if alert.harm else "") + (f", {slice_}" if slice_ else ""),
        detail.moved,
        f"In the windows since {minute(alert.since)} UTC ({age(clock.now() - alert.since)} ago): it may have begun "
        "later in the first of them, or, too small to be seen, before.",
        f"Newest window: {minute(detail.window_since)} to {minute(detail.window_until)}, n = {detail.n:,}"
        + (f", {detail.method}" if detail.method else ""),
    ]
    if alert.version:
        lines.append(f"Version: {alert.version}")
    if detail.affected is not None:
        lines.append(
            f"Affects {detail.affected.open:,} open leads since then, and {detail.affected.decided:,} decisions: "
            f"GET {detail.affected.query}"
        )
    lines.append(f"To do: {detail.todo}")
    lines.append(f"Runbook: {_runbook(detail.page)}")
    if detail.retraining is not None:
        result = f": {detail.retraining.result}" if detail.retraining.result else ""
        lines.append(f"Retraining ({minute(detail.retraining.at)}): {detail.retraining.state}{result}")
    if alert.acknowledged_by is not None and alert.acknowledged_at is not None:
        lines.append(f"Acknowledged by {alert.acknowledged_by} at {minute(alert.acknowledged_at)}")
    if alert.resolved_at is not None:
        lines.append(f"Resolved at {minute(alert.resolved_at)}")
    if alert.note:
        lines.append(f"Note: {alert.note}")
    if silence is not None and _is_open(alert):
        lines.append(f"Silenced until {minute(silence.until)} by {silence.by}: {silence.why}")
    return lines


def _harms(alert: Alert) -> str:
    return f"{'harms' if alert.detail.harms else 'harm'} {', '.join(alert.harms)}"


def _show_slices(alert: Alert) -> None:
    rows = [
        (
            escape(slice_text(one.slice) if one.slice else "everything"),
            "–" if one.value is None else short_number(one.value),
            short_number(one.deviation),
        )
        for one in alert.detail.slices
    ]
    if rows:
        joined = alert.rule in RULES and RULES[alert.rule].joined
        columns = ("moved" if joined else "also broken in", "value", "beyond the limit by")
        title = "What moved, the most important first" if joined else "Other slices, the worst first"
        console.print(table(title, columns, rows, right=columns[1:]))


def _show_also(alert: Alert) -> None:
    rows = [(minute(one.at), escape(one.what)) for one in alert.detail.also]
    if rows:
        console.print(table("What else happened around that time", ("time (UTC)", "what"), rows))


def _next_of(alert: Alert) -> None:
    if not _is_open(alert):
        next_steps(("leads alerts", "see what is open"))
        return
    steps = [(f"less {_runbook(alert.detail.page)}", "read what it means and how to check it")]
    if alert.harm and alert.rule.endswith("drift"):
        steps.append((f"leads drift {alert.harm}", "see what moved"))
    if alert.state == "firing":
        steps.append((f"leads alerts ack {alert.seq}", "say that you look after it"))
    next_steps(*steps)


def _runbook(page: str) -> str:
    """The path of a runbook page, from the working directory if it is the checkout."""
    path = Path(RUNBOOK) / f"{page}.md"
    if REPOSITORY is None or path.exists():
        return str(path)
    return str(REPOSITORY / path)


def _is_open(alert: Alert) -> bool:
    return alert.state != "resolved"

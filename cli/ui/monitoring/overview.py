"""The morning overview: for each harm the verdict, the newest figures and the alerts that are open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cli.checks.contents import Counts
from cli.ui.terminal import age, console, escape, minute, note, table
from leads import clock
from leads.alerting.alert import Alert
from leads.clock import Micros
from leads.db.engine import open_engine, reading
from leads.db.monitoring import alerts, figures
from leads.db.monitoring.rows import MetricRow
from leads.messages.wording import short_number
from leads.policies import Policies
from leads.settings import Settings

# Open pages that are listed.
_MOST_PAGES = 8
_NOTHING = "–"
_COLUMNS = ("harm", "drift", "alerts", "precision", "promised", "flagged", "predictions", "oldest lead")


class Overview(NamedTuple):
    """The newest figures by harm and name, and the open alerts, oldest first."""

    figures: Mapping[str, Mapping[str, MetricRow]]
    alerts: Sequence[Alert]


def overview(settings: Settings, policies: Policies, now: Micros) -> Overview:
    """What is known of all harms now.

    Raises:
        ConfigurationError: the database's schema is older than this version needs.
        Unavailable: the database doesn't answer.
    """
    engine = open_engine(settings, create=False)
    try:
        with reading(engine) as connection:
            return Overview(figures.newest(connection, policies.harms, now), alerts.unresolved(connection))
    finally:
        engine.dispose()


def show_overview(settings: Settings, policies: Policies, counts: Counts) -> None:
    """Print a row for each harm, then the open alerts; nothing before anything was measured."""
    now = clock.now()
    found = overview(settings, policies, now)
    if not any(found.figures.values()) and not found.alerts:
        return
    rows = [_row(harm, values, found.alerts, counts, now) for harm, values in found.figures.items()]
    ends = [row.until for values in found.figures.values() for row in values.values()]
    caption = f"Newest windows, up to {minute(max(ends))} UTC. Precision is that of reviewed leads." if ends else None
    console.print(table("Monitoring", _COLUMNS, rows, right=_COLUMNS[3:], caption=caption))
    pages = [alert for alert in found.alerts if alert.severity == "page"]
    for alert in pages[:_MOST_PAGES]:
        note(_line(alert))
    if len(pages) > _MOST_PAGES:
        note(f"… and {len(pages) - _MOST_PAGES:,} more pages.")
    digest = Counter(alert.rule for alert in found.alerts if alert.severity == "digest")
    if digest:
        note(f"[yellow]digest[/] {', '.join(f'{n:,} {escape(rule)}' for rule, n in digest.most_common())}")
    if found.alerts:
        note("All of them: leads alerts")


def overview_document(settings: Settings, policies: Policies) -> dict[str, Any]:
    """The same for programs."""
    found = overview(settings, policies, clock.now())
    return {
        "harms": {
            harm: {name: _value_document(row) for name, row in values.items()} for harm, values in found.figures.items()
        },
        "alerts": [
            {
                "id": one.seq,
                "rule": one.rule,
                "harm": one.harm or None,
                "slice": one.slice,
                "severity": one.severity,
                "state": one.state,
                "since": clock.to_text(one.since),
            }
            for one in found.alerts
        ],
    }


def _value_document(row: MetricRow) -> dict[str, Any]:
    return {
        "value": row.value,
        "lo": row.lo,
        "hi": row.hi,
        "n": row.n,
        "version": row.version or None,
        "since": clock.to_text(row.since),
        "until": clock.to_text(row.until),
    }


def _row(
    harm: str, values: Mapping[str, MetricRow], open_: Sequence[Alert], counts: Counts, now: Micros
) -> tuple[str, ...]:
    oldest = counts.leads[harm].oldest if harm in counts.leads else None
    return (
        escape(harm),
        _drift(values),
        _alerts([alert for alert in open_ if alert.harm and alert.is_about(harm)]),
        _share(values.get("performance.precision"), with_interval=True),
        _share(values.get("performance.expected_precision")),
        _share(values.get("score.flagged")),
        _count(values.get("predictions.volume")),
        _NOTHING if oldest is None else age(now - oldest),
    )


def _drift(values: Mapping[str, MetricRow]) -> str:
    verdict = values.get(figures.VERDICT.name)
    if verdict is None or verdict.value is None:
        return _NOTHING
    return "[yellow]drift[/yellow]" if verdict.value else "[green]none[/green]"


def _alerts(found: Sequence[Alert]) -> str:
    pages = sum(alert.severity == "page" for alert in found)
    parts = [f"[bold red]{pages:,} page[/bold red]"] * bool(pages)
    parts += [f"{len(found) - pages:,} digest"] * (len(found) > pages)
    return ", ".join(parts) or "[green]none[/green]"


def _share(row: MetricRow | None, *, with_interval: bool = False) -> str:
    if row is None or row.value is None:
        return _NOTHING
    text = f"{row.value:.1%}"
    if with_interval and row.lo is not None and row.hi is not None:
        text += f" ({row.lo:.0%} to {row.hi:.0%})"
    return text


def _count(row: MetricRow | None) -> str:
    return _NOTHING if row is None or row.value is None else f"{row.value:,.0f}"


def _line(alert: Alert) -> str:
    of = f" of {escape(alert.harm)}" if alert.harm else ""
    where = f" ({escape(alert.slice)})" if alert.slice else ""
    value = "" if alert.value is None else f", now {short_number(alert.value)}"
    known = ", acknowledged" if alert.state == "acknowledged" else ""
    since = minute(alert.since)
    return f"[bold red]page[/] {alert.seq}: {escape(alert.rule)}{of}{where} since {since} UTC{value}{known}"

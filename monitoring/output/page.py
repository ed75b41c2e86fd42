"""The page of a harm: one HTML file that needs nothing else, and runs no scripts."""

from __future__ import annotations

from collections.abc import Callable

from leads.alerting.alert import Alert
from leads.alerting.out import RUNBOOK
from leads.db.monitoring.figures import FIGURES, VERDICT, says_yes
from leads.db.monitoring.verdicts import is_unclear, why_none
from leads.messages.wording import counted, short_number
from leads_client.version import VERSION
from monitoring.output import drawing, parts, sections
from monitoring.output.gather import Contents, drifted, threshold_of
from monitoring.output.html import Html, el, joined
from monitoring.output.style import CSS
from monitoring.output.wording import interval_text, length_text, slice_text, time_text, value_text

# Alerts of a rule that are described; the others are counted.
_ALERTS_OF_RULE = 4


def render(found: Contents, *, runbook: Callable[[str], str | None] = lambda page: None) -> str:
    """The page.

    Args:
        runbook: the address of a runbook page; None if it can't be linked to.
    """
    title = f"{found.title}: monitoring, {time_text(found.until)}"
    body = el(
        "main",
        _head(found),
        _verdict(found),
        _tiles(found),
        _alerts(found, runbook),
        sections.score(found),
        sections.inputs(found),
        sections.slices(found),
        sections.texts(found),
        sections.performance(found),
        sections.quality(found),
        sections.challenger(found),
        _run(found),
    )
    return parts.document(title, CSS, body)


def _head(found: Contents) -> Html:
    versions = ", ".join(f"{version} ({counted(rows, 'subject')})" for version, rows in found.versions.items())
    reference = (
        "" if found.reference is None else f" Its training reference has {counted(found.reference.rows, 'row')}."
    )
    return el(
        "header",
        el(
            "div",
            el("div", f"Lead Serving {VERSION} · monitoring", class_="over"),
            el("h1", found.title),
            el("div", el("span", found.harm, class_="mono"), f" · version {found.version}" if found.version else ""),
            el(
                "div",
                f"{length_text(found.since, found.until)} up to {time_text(found.until)}: "
                f"{counted(found.current.rows, 'subject')} counted once an hour, "
                f"{counted(found.current.predictions, 'prediction')}"
                + (f", by versions {versions}." if len(found.versions) > 1 else ".")
                + reference,
                class_="quiet",
            ),
        ),
        parts.verdict_badge(found.verdict, big=True),
        class_="head",
    )


def _verdict(found: Contents) -> Html:
    verdict = found.verdict
    if verdict is None:
        return el("div", el("p", "There is no verdict: no window of the last three days was measured."), class_="card")
    window = f"the {length_text(verdict.since, verdict.until)} up to {time_text(verdict.until)}"
    if verdict.value is None:
        what = "There may be drift in" if is_unclear(verdict) else "There is no verdict on"
        return el("div", el("p", f"{what} {window}: {why_none(verdict)}."), class_="card")
    judged: dict[str, bool] = {}
    for column in found.columns:
        if column.threshold is not None:
            judged[column.input] = judged.get(column.input, False) or column.drifted
    score = found.figures.get("drift.score")
    text = (
        f"{'Predictions have drifted' if says_yes(verdict) else 'No drift'} in {window}, {slice_text(verdict.slice)}. "
    )
    text += f"{sum(judged.values())} of {counted(len(judged), 'input')} are above their thresholds"
    if score is not None:
        text += f"; the score {'is above its threshold' if drifted(score) else 'is not'}"
    rule = "It counts as drift if the score or at least a tenth of the inputs is above its threshold."
    moved = [column for column in found.columns if column.drifted][:5]
    names = [el("li", el("span", one.name, class_="mono"), f" {short_number(one.row.value or 0)}") for one in moved]
    return el(
        "div", el("p", text, ". ", el("span", rule, class_="quiet")), el("ul", *names) if names else None, class_="card"
    )


def _tiles(found: Contents) -> Html:
    own = found.own_alerts
    pages = sum(alert.severity == "page" for alert in own)
    of_platform = len(found.alerts) - len(own)
    more = f", and {of_platform:,} of the whole platform" if of_platform else ""
    tiles = [
        el(
            "div",
            el("span", "Open alerts"),
            el("b", f"{len(own):,}"),
            el(
                "small",
                f"{counted(pages, 'page')}, {counted(len(own) - pages, 'in the digest', 'in the digest')}{more}",
            ),
            class_="tile",
        )
    ]
    for figure in FIGURES:
        row = found.figures.get(figure.name)
        if row is None or figure is VERDICT:
            continue
        about = interval_text(row) if figure.unit == "share" and not row.name.startswith("drift.") else ""
        if (threshold := threshold_of(row)) is not None and row.name.startswith("drift."):
            about = f"threshold {short_number(threshold)}"
        history = [one.value for one in found.histories.get(figure.name, ()) if one.value is not None]
        tiles.append(
            el(
                "div",
                el("span", figure.title),
                el("b", value_text(row.name, row.value)),
                el("small", about or length_text(row.since, row.until)),
                drawing.series(history),
                class_="tile",
                title=f"{row.name}, {time_text(row.since)} to {time_text(row.until)}, {row.method}",
            )
        )
    return el("div", *tiles, class_="tiles")


def _alerts(found: Contents, runbook: Callable[[str], str | None]) -> Html:
    if not found.alerts:
        return joined(el("h2", "Alerts"), el("p", "No alert is open.", class_="quiet"))
    by_rule: dict[str, list[Alert]] = {}
    for alert in sorted(found.alerts, key=lambda alert: (alert.severity != "page", -(alert.worst or 0.0))):
        by_rule.setdefault(alert.rule, []).append(alert)
    return joined(el("h2", "Alerts"), *(_of_rule(alerts, runbook) for alerts in by_rule.values()))


def _of_rule(alerts: list[Alert], runbook: Callable[[str], str | None]) -> Html:
    """The alerts of a rule, the worst first: of fifty inputs that drifted, the cause is one."""
    first, shown = alerts[0], alerts[:_ALERTS_OF_RULE]
    detail = first.detail
    address = runbook(detail.page)
    page = el("a", "Runbook", href=address) if address else el("span", f"{RUNBOOK}/{detail.page}.md", class_="mono")
    severity = el("span", first.severity, class_=f"badge {'bad' if first.severity == 'page' else 'mid'}")
    lines = [_alert(alert) for alert in shown]
    more = f"and {len(alerts) - len(shown):,} more: leads alerts" if len(alerts) > len(shown) else None
    return el(
        "div",
        severity,
        lines[0],
        *(el("div", line, class_="more") for line in lines[1:]),
        el("div", more, class_="quiet") if more else None,
        el("div", detail.todo, " ", page if detail.page else None, class_="todo"),
        class_=f"card alert {first.severity}",
    )


def _alert(alert: Alert) -> Html:
    known = " Acknowledged." if alert.state == "acknowledged" else ""
    about = f"{alert.detail.moved} Since {time_text(alert.since)}.{known}"
    return joined(el("b", alert.detail.title or alert.rule), el("div", about, class_="quiet"))


def _run(found: Contents) -> Html:
    run = found.run
    lines = [] if run is None else [el("li", note) for note in run.notes]
    when = "No run is recorded." if run is None else f"Run {run.id[:8]} began at {time_text(run.started_at)}."
    return el(
        "footer",
        el("h2", "This run"),
        el("p", f"{when} This page was written at {time_text(found.made_at)}.", class_="quiet"),
        el("ul", *lines) if lines else None,
        el(
            "p",
            "A value is above its threshold only if chance, the number of inputs compared, and effects too small to "
            "matter are unlikely to explain it. docs/monitoring.md explains how.",
            class_="quiet",
        ),
    )

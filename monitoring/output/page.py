"""The page of a harm: one HTML file that needs nothing else, and runs no scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from leads.alerting.alert import Alert
from leads.alerting.out import RUNBOOK, slice_parts
from leads.db.monitoring.figures import FIGURES, VERDICT, says_yes
from leads.db.monitoring.rows import MetricRow
from leads.messages.wording import counted
from leads_client.version import VERSION
from monitoring.drift.jobs import NO_VERDICT
from monitoring.output import drawing, parts
from monitoring.output.gather import Column, Contents, drifted, score_of, threshold_of
from monitoring.output.html import Html, Part, el, joined, table
from monitoring.output.style import CSS
from monitoring.output.wording import (
    interval_text,
    length_text,
    number_text,
    slice_text,
    time_text,
    title_of,
    value_text,
)

# More columns than these are listed without drawings, so that the page stays small.
_DRAWN, _LISTED = 40, 200
_MOST_ROWS = 60
_TIERS = {"auto": "acted on", "review": "for review", "none": "not flagged"}


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
        _score(found),
        _inputs(found),
        _drift_of(found, "Slices", lambda row: row.name == "drift.score" and _is_slice(row), "Slice"),
        _drift_of(found, "Texts", lambda row: row.name == "drift.text", "What"),
        _performance(found),
        _values(found, "Data quality", ("inputs.", "predictions.", "events.", "reports.", "skew.", "queue.")),
        _values(found, "Champion and challenger", ("challenger.",)),
        _run(found),
    )
    return parts.document(title, CSS, body)


def _head(found: Contents) -> Html:
    versions = ", ".join(f"{version} ({counted(rows, 'subject')})" for version, rows in found.versions.items())
    reference = "" if found.reference is None else f" Its training reference has {counted(found.reference.rows, 'row')}."
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
        why = verdict.method.removeprefix(NO_VERDICT).removeprefix(": ")
        return el("div", el("p", f"There is no verdict on {window}: {why}."), class_="card")
    judged: dict[str, bool] = {}
    for column in found.columns:
        if column.threshold is not None:
            judged[column.input] = judged.get(column.input, False) or column.drifted
    score = found.figures.get("drift.score")
    text = f"{'Predictions have drifted' if says_yes(verdict) else 'No drift'} in {window}, {slice_text(verdict.slice)}. "
    text += f"{sum(judged.values())} of {counted(len(judged), 'input')} are above their thresholds"
    if score is not None:
        text += f"; the score {'is above its threshold' if drifted(score) else 'is not'}"
    rule = "It counts as drift if the score or at least a tenth of the inputs is above its threshold."
    moved = [column for column in found.columns if column.drifted][:5]
    names = [el("li", el("span", one.name, class_="mono"), f" {number_text(one.row.value or 0)}") for one in moved]
    return el("div", el("p", text, ". ", el("span", rule, class_="quiet")), el("ul", *names) if names else None, class_="card")


def _tiles(found: Contents) -> Html:
    pages = sum(alert.severity == "page" for alert in found.alerts)
    tiles = [
        el(
            "div",
            el("span", "Open alerts"),
            el("b", f"{len(found.alerts):,}"),
            el("small", f"{counted(pages, 'page')}, {counted(len(found.alerts) - pages, 'in the digest', 'in the digest')}"),
            class_="tile",
        )
    ]
    for figure in FIGURES:
        row = found.figures.get(figure.name)
        if row is None or figure is VERDICT:
            continue
        about = interval_text(row) if figure.unit == "share" and not row.name.startswith("drift.") else ""
        if (threshold := threshold_of(row)) is not None and row.name.startswith("drift."):
            about = f"threshold {number_text(threshold)}"
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
    return joined(el("h2", "Alerts"), *(_alert(alert, runbook) for alert in found.alerts))


def _alert(alert: Alert, runbook: Callable[[str], str | None]) -> Html:
    detail = alert.detail
    address = runbook(detail.page)
    page = el("a", "Runbook", href=address) if address else el("span", f"{RUNBOOK}/{detail.page}.md", class_="mono")
    return el(
        "div",
        el("b", detail.title or alert.rule),
        " ",
        el("span", alert.severity, class_=f"badge {'bad' if alert.severity == 'page' else 'mid'}"),
        el("span", " acknowledged", class_="quiet") if alert.state == "acknowledged" else None,
        el("div", f"{detail.moved} Since {time_text(alert.since)}, {slice_text(alert.slice)}.", class_="quiet"),
        el("div", detail.todo, " ", page if detail.page else None),
        class_=f"card alert {alert.severity}",
    )


def _score(found: Contents) -> Html:
    drawn = drawing.distribution(score_of(found.reference), score_of(found.current), wide=True, linear=True)
    if not drawn:
        return joined(el("h2", "Scores and tiers"), el("p", "Nobody was scored in this window.", class_="quiet"))
    bars = [
        joined(el("div", name, class_="over"), parts.stack(side.by_tier, _TIERS))
        for name, side in (("In training", found.reference), ("In the window", found.current))
        if side is not None and side.by_tier
    ]
    return joined(el("h2", "Scores and tiers"), el("div", _key(), drawn, *bars, class_="card"))


def _inputs(found: Contents) -> Html:
    if not found.columns:
        return joined(el("h2", "Inputs"), el("p", "The inputs weren't compared.", class_="quiet"))
    drawn = [_input(column, i < _DRAWN) for i, column in enumerate(found.columns[:_DRAWN])]
    rest = [_input(column, False) for column in found.columns[_DRAWN:_LISTED]]
    head = ("Input", "Distribution", "Distance", "Threshold", "", "Importance", "Mean", "Missing")
    left = len(found.columns) - _LISTED
    return joined(
        el("h2", "Inputs"),
        el("p", "Those that drifted first, then by distance × importance to the model.", class_="quiet"),
        _key(),
        table(head, drawn, numbers=frozenset((2, 3, 5, 6, 7))),
        el(
            "details",
            el("summary", f"{counted(len(rest), 'more input')}"),
            table(head, rest, numbers=frozenset((2, 3, 5, 6, 7))),
        )
        if rest
        else None,
        el("p", f"{counted(left, 'input')} that moved least left out.", class_="quiet") if left > 0 else None,
    )


def _input(column: Column, draw: bool) -> tuple[Part, ...]:
    value, threshold = column.row.value, column.threshold
    sides = (column.reference, column.current)
    means = [number_text(side.mean) if side is not None and side.n else "–" for side in sides]
    missing = [f"{side.missing / side.rows:.1%}" if side is not None and side.rows else "–" for side in sides]
    return (
        el("span", column.name, class_="mono"),
        drawing.distribution(*sides) if draw and column.name == column.input else "",
        "–" if value is None else number_text(value),
        "not judged" if threshold is None else number_text(threshold),
        "" if threshold is None or value is None else drawing.against_threshold(value, threshold),
        f"{column.importance:.1%}",
        _change(*means),
        _change(*missing),
    )


def _change(before: str, now: str) -> Part:
    return now if before == now else joined(el("small", f"{before} → "), now)


def _drift_of(found: Contents, title: str, of: Callable[[MetricRow], bool], head: str) -> Html | None:
    """A table of values of drift with their thresholds."""
    rows = [row for row in found.rows if of(row)]
    if not rows:
        return None
    rows.sort(key=lambda row: (drifted(row), row.value or 0.0), reverse=True)
    shown: list[tuple[Part, ...]] = []
    for row in rows[:_MOST_ROWS]:
        threshold = threshold_of(row)
        shown.append(
            (
                slice_text(row.slice),
                "–" if row.value is None else number_text(row.value),
                "not judged" if threshold is None else number_text(threshold),
                "" if threshold is None or row.value is None else drawing.against_threshold(row.value, threshold),
                f"{row.n:,}",
                parts.verdict_badge(row._replace(value=float(drifted(row)))),
            )
        )
    return joined(
        el("h2", title),
        table((head, "Distance", "Threshold", "", "Rows", ""), shown, numbers=frozenset((1, 2, 4))),
        _left_out(len(rows)),
    )


def _performance(found: Contents) -> Html:
    rows = [row for row in found.rows if row.name.startswith("performance.") or row.name == "drift.verdicts"]
    about = el(
        "p",
        "Only reviewed leads have labels, so precision is that of what was reviewed. Bars show 95% intervals.",
        class_="quiet",
    )
    if not rows:
        return joined(el("h2", "Performance"), el("p", "Nothing was decided lately.", class_="quiet"))
    shown = [
        (
            title_of(row.name),
            slice_text(row.slice),
            value_text(row.name, row.value),
            interval_text(row) or "–",
            drawing.interval(row.value, row.lo, row.hi) if _is_share(row) else "",
            f"{row.n:,}",
            length_text(row.since, row.until),
        )
        for row in rows[:_MOST_ROWS]
    ]
    head = ("Measure", "Of", "Value", "Interval", "", "n", "Window")
    return joined(el("h2", "Performance"), about, table(head, shown, numbers=frozenset((2, 5))), _left_out(len(rows)))


def _values(found: Contents, title: str, prefixes: Sequence[str]) -> Html | None:
    """A table of values of any metric; the largest of each metric first."""
    rows = [row for row in found.rows if row.name.startswith(tuple(prefixes)) and row.value is not None]
    if not rows:
        return None
    rows.sort(key=lambda row: (row.name, -(row.value or 0.0), row.slice))
    shown = [
        (
            title_of(row.name),
            slice_text(row.slice) if row.harm else f"{slice_text(row.slice)} (whole platform)",
            value_text(row.name, row.value),
            interval_text(row) or "–",
            f"{row.n:,}",
            length_text(row.since, row.until),
        )
        for row in _largest(rows)
    ]
    head = ("Measure", "Of", "Value", "Interval", "n", "Window")
    return joined(el("h2", title), table(head, shown, numbers=frozenset((2, 4))), _left_out(len(rows), len(shown)))


def _largest(rows: Sequence[MetricRow]) -> Iterable[MetricRow]:
    """At most a few rows of each metric: of a hundred inputs, most are never missing."""
    taken: dict[str, int] = {}
    for row in rows:
        taken[row.name] = taken.get(row.name, 0) + 1
        if taken[row.name] <= 12:
            yield row


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


def _key() -> Html:
    return Html('<div class="key"><span><i></i>in training</span><span><i class="line"></i>in the window</span></div>')


def _left_out(rows: int, shown: int = _MOST_ROWS) -> Html | None:
    return el("p", f"{counted(rows - shown, 'row')} left out.", class_="quiet") if rows > shown else None


def _is_slice(row: MetricRow) -> bool:
    return set(slice_parts(row.slice)) > {"against"} if "against" in slice_parts(row.slice) else bool(row.slice)


def _is_share(row: MetricRow) -> bool:
    return row.name in ("performance.precision", "performance.expected_precision", "performance.agreement")

"""The sections of a harm's page that show distributions and tables of measured values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from leads.db.monitoring.rows import MetricRow
from leads.estimates.slices import slice_parts
from leads.messages.wording import counted, short_number
from monitoring.output import drawing, parts
from monitoring.output.gather import Column, Contents, drifted, score_of, threshold_of
from monitoring.output.html import Html, Part, el, joined, table
from monitoring.output.wording import interval_text, length_text, slice_text, title_of, value_text

# More columns than these are listed without drawings, so that the page stays small.
_DRAWN, _LISTED = 40, 200
_MOST_ROWS = 60
_TIERS = {"auto": "acted on", "review": "for review", "none": "not flagged"}


def slices(found: Contents) -> Html | None:
    """How far the scores of each slice moved."""
    return _drift_of(found, "Slices", lambda row: row.name == "drift.score" and _is_slice(row), "Slice")


def texts(found: Contents) -> Html | None:
    """How far the texts moved."""
    return _drift_of(found, "Texts", lambda row: row.name == "drift.text", "What")


def quality(found: Contents) -> Html | None:
    """Events, inputs, predictions and the queue."""
    return _values(found, "Data quality", ("inputs.", "predictions.", "events.", "reports.", "skew.", "queue."))


def challenger(found: Contents) -> Html | None:
    """How the challenger does."""
    return _values(found, "Champion and challenger", ("challenger.",))


def score(found: Contents) -> Html:
    """The distribution of scores, and the share of each tier."""
    drawn = drawing.distribution(score_of(found.reference), score_of(found.current), wide=True, linear=True)
    if not drawn:
        return joined(el("h2", "Scores and tiers"), el("p", "Nobody was scored in this window.", class_="quiet"))
    bars = [
        joined(el("div", name, class_="over"), parts.stack(side.by_tier, _TIERS))
        for name, side in (("In training", found.reference), ("In the window", found.current))
        if side is not None and side.by_tier
    ]
    return joined(el("h2", "Scores and tiers"), el("div", _key(), drawn, *bars, class_="card"))


def inputs(found: Contents) -> Html:
    """The inputs by rank, the first with drawings."""
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
    means = [short_number(side.mean) if side is not None and side.n else "–" for side in sides]
    missing = [f"{side.missing / side.rows:.1%}" if side is not None and side.rows else "–" for side in sides]
    return (
        el("span", column.name, class_="name mono"),
        drawing.distribution(*sides) if draw and column.name == column.input else "",
        "–" if value is None else short_number(value),
        "not judged" if threshold is None else short_number(threshold),
        "" if threshold is None or value is None else drawing.against_threshold(value, threshold),
        f"{column.importance:.1%}",
        _change(*means),
        _change(*missing),
    )


def _name(text: str) -> Html:
    """A name in a table: however long it is, it wraps and leaves room for the other columns."""
    return el("span", text, class_="name")


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
                _name(slice_text(row.slice)),
                "–" if row.value is None else short_number(row.value),
                "not judged" if threshold is None else short_number(threshold),
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


def performance(found: Contents) -> Html:
    """What reviewers found, with intervals."""
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
            _name(slice_text(row.slice)),
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
            _name(slice_text(row.slice) if row.harm else f"{slice_text(row.slice)} (whole platform)"),
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


def _key() -> Html:
    return Html('<div class="key"><span><i></i>in training</span><span><i class="line"></i>in the window</span></div>')


def _left_out(rows: int, shown: int = _MOST_ROWS) -> Html | None:
    return el("p", f"{counted(rows - shown, 'row')} left out.", class_="quiet") if rows > shown else None


def _is_slice(row: MetricRow) -> bool:
    return set(slice_parts(row.slice)) > {"against"} if "against" in slice_parts(row.slice) else bool(row.slice)


def _is_share(row: MetricRow) -> bool:
    return row.name in ("performance.precision", "performance.expected_precision", "performance.agreement")

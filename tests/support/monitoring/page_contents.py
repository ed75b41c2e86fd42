"""What a page shows, made up: a harm with many inputs, of which some have drifted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from leads import clock
from leads.alerting.alert import Alert, Detail
from leads.db.monitoring.figures import FIGURES
from leads.db.monitoring.rows import MetricRow
from leads.db.monitoring.runs import Run
from leads.db.monitoring.verdicts import VERDICT
from leads.estimates.slices import slice_of
from monitoring.output.gather import Column, Contents
from monitoring.summaries.tally import Rows

UNTIL = clock.from_text("2026-03-10T12:00:00Z")
SINCE = UNTIL - clock.DAY
AGAINST = "reference"
# A name that would do harm if it reached a page as it is.
HOSTILE = "<script>alert('x')</script>\"&\u202e"


def row(name: str, value: float | None, *, lo: float | None = None, hi: float | None = None, **parts: str) -> MetricRow:
    return MetricRow("spam", "3", slice_of(**parts), SINCE, UNTIL, name, value, lo, hi, 1_204, "wasserstein")


def alert(rule: str, severity: Any = "digest", title: str = "An input has moved", **parts: str) -> Alert:
    detail = Detail(
        title, "0.31, with a limit of 0.1.", "drift.input", "wasserstein", 1_204, SINCE, UNTIL, "Look at it.", "drift"
    )
    times = (SINCE, SINCE, UNTIL, None, None, None)
    measured = (0.31, 0.21, None, 0.0, 0.21)
    return Alert(
        1, rule, "spam", slice_of(**parts), "3", severity, "firing", *times, *measured, detail, None, None, None
    )


def contents(inputs: int = 60, moved: int = 7, *, name: str = "account.{}", title: str = "Spam") -> Contents:
    """Contents with so many inputs, of which the first have moved."""
    rng = np.random.default_rng(1)
    names = tuple(name.format(f"feature_{i}") for i in range(inputs))
    before = rng.lognormal(0, 1, (2_000, inputs))
    after = rng.lognormal(0, 1, (1_204, inputs))
    after[:, :moved] *= 3
    after[:300, 3:5] = np.nan

    def rows_of(matrix: np.ndarray, shift: float) -> Rows:
        scores = np.clip(rng.beta(1, 8, len(matrix)) + shift, 0, 1)
        tiers = ["review" if score > 0.5 else "none" for score in scores]
        return Rows(scores, tiers, ["comment"] * len(matrix), names, matrix)

    reference = rows_of(before, 0.0).summary(np.arange(2_000), 2_000)
    current = rows_of(after, 0.1).summary(np.arange(1_204), 5_310)
    columns = []
    for i, one in enumerate(names):
        value = 0.4 + i / 100 if i < moved else 0.02
        importance = 1 / (i + 1)
        judged = row("drift.input", value, lo=value - 0.12, against=AGAINST, column=one)
        if i == inputs - 1:
            judged = judged._replace(name="drift.growing", lo=None)
        columns.append(Column(one, one, judged, importance, reference.columns[one], current.columns[one]))
    figures = {figure.name: row(figure.name, 0.5, against=AGAINST) for figure in FIGURES if figure.name != VERDICT}
    figures["drift.score"] = row("drift.score", 0.31, lo=0.2, against=AGAINST)
    figures["performance.precision"] = row("performance.precision", 0.81, lo=0.74, hi=0.87)
    verdict = row(VERDICT, 1.0, against=AGAINST)
    histories = {one: [figures[one]._replace(value=i / 10) for i in range(14)] for one in figures}
    return Contents(
        harm="spam",
        title=title,
        made_at=UNTIL + 7 * clock.MINUTE,
        since=SINCE,
        until=UNTIL,
        versions={"3": 1_100, "2": 104},
        verdict=verdict,
        figures={VERDICT: verdict, **figures},
        histories=histories,
        rows=(
            *figures.values(),
            *(row("drift.score", 0.1 * i, lo=0.1 * i - 0.15, against=AGAINST, type=f"type_{i}") for i in range(4)),
            *(row("drift.text", 0.3, lo=0.1, against=AGAINST, column=one) for one in ("length", "language")),
            *(row("inputs.missing", 0.02 * i, column=names[i]) for i in range(min(inputs, 30))),
            row("performance.precision", 0.6, lo=0.3, hi=0.8, tier="auto"),
            row("performance.agreement", None, tier="auto"),
            row("challenger.gain", 0.01, lo=-0.1, hi=0.1),
            replace_harm(row("events.volume", 812.0, kind="play", source=name.format("mobile"))),
        ),
        columns=tuple(columns),
        reference=reference,
        current=current,
        alerts=(
            alert("inputs_missing", "page", title=f"An input of {title} is missing", column=names[0]),
            alert("input_drift", column=names[-1], against=AGAINST),
        ),
        run=Run("5f0c2a9e8d1b4c77", "host", UNTIL, None, "running", None, [f"{title}: a line of the run."]),
    )


def replace_harm(one: MetricRow) -> MetricRow:
    return one._replace(harm="", version="")


def nothing() -> Contents:
    """A harm of which nothing but its queue was measured."""
    found = contents(1, 0)
    return replace(
        found,
        versions={},
        verdict=None,
        figures={},
        histories={},
        rows=(row("queue.oldest_h", 3.0),),
        columns=(),
        reference=None,
        current=Rows(np.array([]), [], []).summary(np.arange(0), 0),
        alerts=(),
        run=None,
    )

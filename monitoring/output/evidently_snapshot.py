"""A day of a harm's figures as a snapshot for Evidently's workspace, and the dashboard that shows them over time.

A snapshot is a report on a table with one row and a column for each figure: every figure is the mean of its column. So
any Evidently server can show it, without code of ours.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from leads import clock
from leads.clock import Micros
from leads.db.monitoring.figures import FIGURES, VERDICT
from leads.processes import QUIET
from monitoring.output.gather import Contents
from monitoring.output.wording import length_text, time_text, value_text

if TYPE_CHECKING:
    from evidently.core.container import MetricContainer
    from evidently.core.report import Snapshot
    from evidently.sdk.models import DashboardModel

# Making a snapshot takes seconds, most of them to import Evidently.
_REPLACED: Micros = 6 * clock.HOUR
_ALERTS, _MISSING = "Open alerts", "Input that is missing more often"
_TITLES = {figure.name: figure.title for figure in FIGURES}
# The panels of the dashboard: title, explanation, and the figures in it.
_PANELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Drift",
        "The share of inputs beyond their thresholds, and the distance of the score. A tenth of the inputs, or the "
        "score, makes a verdict.",
        (_TITLES["drift.share"], _TITLES["drift.score"]),
    ),
    ("Scores", "The mean score, and the share of subjects flagged.", (_TITLES["score.mean"], _TITLES["score.flagged"])),
    (
        "Precision",
        "Of reviewed leads, and what the scores promise.",
        (_TITLES["performance.precision"], _TITLES["performance.expected_precision"]),
    ),
    ("Predictions", "In the newest window that was measured.", (_TITLES["predictions.volume"],)),
    (
        "Missing",
        "Predictions that are missing, and the increase of the input that is missing more often than any other.",
        (_TITLES["predictions.missing"], _MISSING),
    ),
    ("Alerts", "Open at the end of the day.", (_ALERTS,)),
)


class Day(NamedTuple):
    """A harm's figures at the end of a day, or so far.

    Args:
        day: 00:00 UTC of the day in which the newest window ended.
        until: when it ended.
        drifted: the verdict; None if there is none.
        values: by title.
        texts: the same as text.
    """

    harm: str
    title: str
    version: str
    day: Micros
    until: Micros
    drifted: bool | None
    values: Mapping[str, float]
    texts: Mapping[str, str]

    @property
    def date(self) -> str:
        """The day as 20260301."""
        return f"{clock.to_datetime(self.day):%Y%m%d}"

    @property
    def digest(self) -> str:
        """Another one when the snapshot should be replaced: with another verdict or version, and a few times a day."""
        said = msgspec.json.encode([self.version, self.drifted, self.until // _REPLACED])
        return hashlib.sha256(said).hexdigest()[:24]


def day_of(found: Contents) -> Day | None:
    """The figures of a day; None if nothing was measured."""
    values: dict[str, float] = {}
    texts: dict[str, str] = {}
    for name, row in found.figures.items():
        if row.value is not None:
            values[_TITLES[name]] = float(row.value)
            texts[_TITLES[name]] = f"{value_text(name, row.value)} ({length_text(row.since, row.until)})"
    if not values:
        return None
    missing = [row.value for row in found.rows if row.name == "inputs.missing" and row.value is not None]
    if missing:
        values[_MISSING] = max(missing)
        texts[_MISSING] = value_text("inputs.missing", max(missing))
    values[_ALERTS] = float(len(found.own_alerts))
    texts[_ALERTS] = f"{len(found.own_alerts):,}"
    drifted = values.get(VERDICT.title)
    # A window that ends at midnight is of the day before.
    day = (found.until - 1) // clock.DAY * clock.DAY
    verdict = None if drifted is None else drifted >= 0.5
    return Day(found.harm, found.title, found.version, day, found.until, verdict, values, texts)


def snapshot(day: Day) -> Snapshot:
    """The snapshot of a day."""
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        # Evidently's imports, and a deviation of a single row.
        warnings.simplefilter("ignore")
        import pandas as pd
        from evidently import DataDefinition, Dataset, Report

        frame = pd.DataFrame({title: [value] for title, value in day.values.items()})
        data = Dataset.from_pandas(frame, data_definition=DataDefinition(numerical_columns=list(day.values)))
        made = Report([_container(day)], include_tests=False).run(
            data,
            None,
            # Evidently's times have no zone.
            timestamp=clock.to_datetime(day.until).replace(tzinfo=None),
            metadata={"day": day.date, "digest": day.digest, "version": day.version},
            name=f"{day.title}, {clock.to_datetime(day.day):%Y-%m-%d}",
        )
    for result in made.metric_results.values():
        # A chart of each figure's single value, which nothing shows.
        result.widget = []
    return made


def dashboard() -> DashboardModel:
    """The dashboard of a harm's project."""
    os.environ.update(QUIET)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.sdk.models import DashboardModel, DashboardTabModel, PanelMetric
        from evidently.sdk.panels import counter_panel, line_plot_panel, text_panel

    def metric(title: str) -> Any:
        return PanelMetric(legend=title, metric="MeanValue", metric_labels={"column": title})

    panels = [
        text_panel(
            title="Measured by Lead Serving",
            description="One snapshot a day. The verdict is Lead Serving's, with a threshold for each input; "
            "docs/monitoring.md explains it.",
        ),
        counter_panel(title="Drifted (1: yes)", values=[metric(VERDICT.title)], size="half"),
        counter_panel(title=_ALERTS, values=[metric(_ALERTS)], size="half"),
        *(
            line_plot_panel(title=title, description=about, values=[metric(one) for one in titles], size="half")
            for title, about, titles in _PANELS
        ),
    ]
    tab = DashboardTabModel(title="Overview", panels=[panel.id for panel in panels])
    return DashboardModel(tabs=[tab], panels=panels)


def _container(day: Day) -> MetricContainer:
    """What the snapshot shows: the verdict, then the figures; without a chart of each one's single value."""
    from evidently.core.container import MetricContainer
    from evidently.legacy.renderers.html_widgets import CounterData, counter, table_data
    from evidently.metrics import MeanValue

    class Figures(MetricContainer):  # type: ignore[misc]
        def generate_metrics(self, context: Any) -> Sequence[Any]:
            return [MeanValue(column=title, tests=[]) for title in day.values]

        def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
            verdict = "No verdict" if day.drifted is None else "Drifted" if day.drifted else "No drift"
            label = f"{day.title}, version {day.version}, up to {time_text(day.until)}"
            return [
                counter(counters=[CounterData.string(label, verdict)]),
                table_data(column_names=("Figure", "Value"), data=list(day.texts.items()), title="Figures"),
            ]

    return Figures(include_tests=False)

"""Monitoring on real texts: later comments after earlier ones, one corpus after another, one video after others.

A version is trained on half of the first set. It scores the other half for some days, and then the second set. The
control does the same with random halves of one set, between which nothing differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from rich.table import Table

from benchmarks.monitoring.text_home import TRAINED, Watched, watch
from benchmarks.monitoring.text_judged import DRIFT_RULES, OVERVIEW, measures, moved, overview, verdicts
from benchmarks.monitoring.text_pairs import Pair, controls, pairs
from benchmarks.report import Measure, Report, at_most, console, say
from leads.errors import ConfigurationError
from leads.settings import Settings
from models.text.sentence import open_encoder, place_of

T = TypeVar("T")

REPEATS, QUICK_REPEATS = 3, 1
WITHOUT, WITH = "n-grams", "with MiniLM"
# A process gives its memory back after so many pairs.
_PAIRS_OF_PROCESS = 4


def texts(report: Report, settings: Settings, *, quick: bool) -> None:
    """All pairs and the control, without the sentence encoder and, unless it must be quick, with it.

    Args:
        settings: where the corpora are, and the vectors of known texts.
    """
    if settings.corpora_dir is None or not (found := list(pairs(settings.corpora_dir))):
        say("No corpora were found, so real texts aren't watched. Set LEADS_CORPORA to the folder that holds them.")
        return
    random = list(controls(settings.corpora_dir, QUICK_REPEATS if quick else REPEATS))
    for name, minilm in _set_ups(settings, quick=quick):
        work = partial(watch, minilm=minilm, vectors=settings.encodings_dir)
        report.part(f"real texts, {name}", lambda work=work, name=name: _of_pairs(work, found, name))  # type: ignore[misc]
        report.part(f"random halves, {name}", lambda work=work, name=name: _of_controls(work, random, name))  # type: ignore[misc]


def _set_ups(settings: Settings, *, quick: bool) -> list[tuple[str, bool]]:
    found = [(WITHOUT, False)]
    if quick:
        return found
    try:
        open_encoder(place_of(settings))
    except ConfigurationError as error:
        say(f"Real texts aren't watched with the sentence encoder. {error}")
        return found
    return [*found, (WITH, True)]


def _of_pairs(work: Callable[[Pair], Watched], found: Sequence[Pair], set_up: str) -> list[Measure]:
    watched = _each(work, found)
    table = Table(title=f"Real texts, {set_up}", title_justify="left")
    for name in OVERVIEW:
        table.add_column(name, overflow="fold")
    for pair, one in zip(found, watched, strict=True):
        table.add_row(pair.name, *overview(one))
    console.print(table)
    return [row for pair, one in zip(found, watched, strict=True) for row in measures(f"{pair.name}, {set_up}", one)]


def _of_controls(work: Callable[[Pair], Watched], found: Sequence[Pair], set_up: str) -> list[Measure]:
    """How often monitoring calls what is only chance drift: days, columns of days, and alerts."""
    by_name: dict[str, list[Watched]] = {}
    for pair, one in zip(found, _each(work, found), strict=True):
        by_name.setdefault(pair.name, []).append(one)
    rows = []
    for pair_name, every in by_name.items():
        name = f"{pair_name}, {set_up}"
        days = [verdicts(one.rows, TRAINED, one.until) for one in every]
        columns = [column for one in every for column in moved(one.rows, TRAINED, one.until)]
        of, drifted = sum(day.of for day in days), sum(day.drift for day in days)
        judged, beyond = sum(one.of for one in columns), sum(one.beyond for one in columns)
        alerts = [sum(alert.rule in DRIFT_RULES for alert in one.alerts) for one in every]
        rows += [
            at_most(f"{name}: days called drift, of {of}", drifted / of if of else float("nan"), "share", 0.01),
            Measure(f"{name}: days without a clear verdict", sum(day.unclear for day in days) / max(of, 1), "share"),
            Measure(f"{name}: columns of days beyond, of {judged:,}", beyond / max(judged, 1), "share"),
            Measure(f"{name}: repeats with an alert about drift, of {len(every)}", sum(map(bool, alerts)), "repeats"),
        ]
    return rows


def _each(work: Callable[[Pair], T], found: Sequence[Pair]) -> list[T]:
    """What the work gives for each pair, two at a time."""
    made = []
    with ProcessPoolExecutor(2, max_tasks_per_child=_PAIRS_OF_PROCESS) as pool:
        for pair, one in zip(found, pool.map(work, found), strict=True):
            say(f"watched: {pair.name}")
            made.append(one)
    return made

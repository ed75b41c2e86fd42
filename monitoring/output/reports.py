"""The last steps of a run: write each harm's page, and what Evidently shows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np

from leads.errors import LeadsError, Unavailable
from leads.messages.wording import counted
from leads.processes import die_with_parent
from leads.settings import Settings
from monitoring.output import evidently_report, evidently_workspace, files
from monitoring.output.evidently_report import MOST_ROWS, Judged, Sample
from monitoring.output.evidently_snapshot import Day, day_of
from monitoring.output.gather import Contents, gather
from monitoring.output.sampling import logged_sample
from monitoring.output.wording import length_text, time_text
from monitoring.summaries.summary import SCORE
from monitoring.watch.jobs import Step
from monitoring.watch.world import World


def write_pages(world: World, run: str) -> None:
    """Write the page of each harm of which something was measured, and the index."""
    found: dict[str, Contents] = {}
    for harm in world.policies.harms:
        contents = gather(world, harm)
        if any(row.harm for row in contents.rows):
            found[harm] = contents
            files.write_page(world.settings, contents)
    if found:
        files.write_index(world.settings, found)


def write_evidently(world: World, run: str) -> None:
    """Store a snapshot of each harm's day, and write Evidently's report of a day on which predictions drifted.

    Evidently takes a few hundred megabytes, so a process of its own does it.

    Raises:
        Unavailable: its server can't be reached.
    """
    if find_spec("evidently") is None:
        world.note("Evidently isn't installed here: it gets no snapshots, and writes no reports.")
        return
    days: list[Day] = []
    reports: list[_Report] = []
    for harm in world.policies.harms:
        contents = gather(world, harm)
        if (day := day_of(contents)) is not None:
            days.append(day)
        if (report := _report(world, contents)) is not None:
            reports.append(report)
    missing = [day for day in days if evidently_workspace.is_due(world.settings, day)]
    if not missing and not reports:
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        try:
            problems = pool.submit(_in_process, world.settings, missing, reports).result()
        except BrokenProcessPool as error:
            raise Unavailable(
                "The process that runs Evidently was killed, perhaps for lack of memory.",
                remedy="The next run retries.",
            ) from error
    for problem in problems:
        world.note(problem)
    if problems:
        raise Unavailable(f"Evidently: {counted(len(problems), 'error')}.", remedy="The notes of the run say which.")


def _end_with_parent() -> None:
    """End this process if the run is killed: it would wait for work for ever."""
    die_with_parent()
    parent = parent_process()
    if parent is None or not parent.is_alive():
        raise RuntimeError("the run ended before its process for Evidently began")


PAGES = Step("writing pages", write_pages)
EVIDENTLY = Step("writing Evidently's snapshots", write_evidently)

_Report = tuple[Path, str, list[Judged], Sample, Sample]


def _in_process(settings: Settings, days: Sequence[Day], reports: Sequence[_Report]) -> list[str]:
    """Store the snapshots and write the reports; returns what went wrong."""
    problems = []
    workspace = evidently_workspace.open_workspace(settings)
    for day in days:
        try:
            workspace.put(day)
        except LeadsError as error:
            problems.append(f"{day.harm}: {error}")
    for path, headline, columns, reference, current in reports:
        try:
            evidently_report.write(path, headline, columns, reference, current)
        except LeadsError as error:
            problems.append(str(error))
    return problems


def _report(world: World, found: Contents) -> _Report | None:
    """What the report of a window that drifted shows; None without drift, or if the day has a report already."""
    verdict = found.verdict
    if verdict is None or verdict.value is None or verdict.value < 0.5 or not verdict.version:
        return None
    if _of_same_day(files.report_path(world.settings, found.harm, verdict.until)):
        return None
    names, reference = world.input_names(found.harm, verdict.version), world.reference(found.harm, verdict.version)
    if names is None or reference is None or reference.rows.matrix is None:
        return None
    current = logged_sample(world.settings, found.harm, verdict.version, names, verdict.since, verdict.until, MOST_ROWS)
    if current is None:
        return None
    columns = [
        Judged(column.name, column.row.value, column.threshold)
        for column in found.columns
        if column.name in names and column.row.value is not None and column.threshold is not None
    ]
    score = found.figures.get("drift.score")
    if score is not None and score.value is not None and score.lo is not None:
        columns.insert(0, Judged(SCORE, score.value, score.value - score.lo))
    columns.sort(key=lambda column: column.value <= column.threshold)
    path = files.report_path(world.settings, found.harm, verdict.until)
    before = Sample((*names, SCORE), np.column_stack([reference.rows.matrix, reference.rows.scores]))
    return path, _headline(found), columns, before, current


def _headline(found: Contents) -> str:
    verdict = found.verdict
    assert verdict is not None
    drifted = sum(column.drifted for column in found.columns)
    return (
        f"## Predictions of {found.title} have drifted\n\n"
        f"Version {verdict.version}, {length_text(verdict.since, verdict.until)} up to {time_text(verdict.until)}: "
        f"{counted(verdict.n, 'subject')}, compared with the version's reference sample. "
        f"{counted(drifted, 'column')} moved beyond their thresholds. "
        "Verdicts, distances and thresholds are Lead Serving's, on all rows; the charts show a sample of this host's "
        "predictions. docs/monitoring.md explains why Evidently's own verdict would differ."
    )


def _of_same_day(path: Path) -> bool:
    return any(path.parent.glob(f"{path.name[: len('evidently-20260301')]}T*.html"))

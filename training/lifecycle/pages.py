"""Keeps MLflow's pages up to date with what happens to versions.

The pages are for people; nothing is decided by them. So a page that can't be written never stops a change, and the next
change to the harm writes it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from leads import clock
from leads.db.model_changes import CANARY, CHALLENGER, CHAMPION, Action, ModelChange
from leads.errors import NotFound, Unavailable
from leads.policies import HarmPolicy
from models.registry.versions import GATE, VersionNote, VersionRegistry
from models.version import ModelVersion
from training.gate.checks import GateCheck
from training.gate.gate import GateReport
from training.lifecycle.outcomes import ChangeReason
from training.report import description
from training.report.logged import safe_name

NOT_ASKED = "not asked yet"
# How the outcome of a version that the gate blocks begins.
BLOCKED = "blocked"
_GAVE: dict[Action, str] = {
    "promoted": "promoted",
    "challenging": "registered",
    "rolled_back": "rolled back to",
    "canary": "started",
}
# MLflow keeps up to 5,000 characters of a tag; a page has room for less.
_LONGEST_TAG, _LONGEST_CELL = 500, 160


def show_version(
    registry: VersionRegistry,
    policy: HarmPolicy,
    number: str,
    version: ModelVersion,
    report: GateReport | None,
    overridden: ChangeReason | None = None,
    *,
    mlflow_uri: str,
) -> None:
    """Bring the pages of a version and of its run up to date with what the gate found.

    Args:
        version: in its folder.
        report: None if the gate wasn't asked.
        mlflow_uri: how the page says to load the version, without credentials.
        overridden: who promotes the version although the gate blocks it, and why.
    """
    outcome = NOT_ASKED if report is None else gate_outcome(report, overridden)
    with suppress(Unavailable, NotFound):
        tags = {**registry.tags_of(version.harm, number), GATE: outcome}
        section = gate_section(report, outcome) if report else ""
        text = description.of_version(policy, version, tags, mlflow_uri=mlflow_uri, number=number, gate=section)
        metrics = gate_metrics(report) if report else {}
        registry.annotate(version.harm, number, VersionNote(text, {GATE: outcome}, metrics))


def show_aliases(registry: VersionRegistry, harm: str, changes: Sequence[ModelChange]) -> None:
    """Tag the harm's registered model with the version that has each alias, since when, and why.

    Args:
        changes: to the harm's versions, oldest first.
    """
    with suppress(Unavailable):
        aliases = registry.aliases(harm)
        tags = {alias: _since(alias, aliases.get(alias), changes) for alias in (CHAMPION, CANARY, CHALLENGER)}
        registry.tag_harm(harm, tags)


def gate_outcome(report: GateReport, overridden: ChangeReason | None = None) -> str:
    """The gate's verdict in a few words.

    >>> passed, failed = (GateCheck("ranking", "", "", one, "") for one in (True, False))
    >>> gate_outcome(GateReport("spam", "2", "1", "", 9, 5, (passed, failed)))
    'blocked: ranking'
    """
    failed = ", ".join(check.name for check in report.failed)
    if failed:
        by = f"; overridden by {overridden.actor}: {overridden.why}" if overridden else ""
        return f"{BLOCKED}: {failed}{by}"[:_LONGEST_TAG]
    excused = ", ".join(check.name for check in report.excused)
    return f"passed; excused: {excused}" if excused else "passed"


def gate_metrics(report: GateReport) -> dict[str, float]:
    """Whether it passed, how many checks failed, and the differences from the champion on the same rows.

    Differences have 95% intervals, whose bounds end in `_low` and `_high`.
    """
    found = {"gate_passed": float(report.passed), "gate_checks_failed": float(len(report.failed))}
    for measure in report.measures:
        if measure.difference:
            name = f"gate/{safe_name(measure.name)} - difference from champion"
            difference = measure.difference
            found |= {name: difference.found, f"{name}_low": difference.low, f"{name}_high": difference.high}
    return found


def gate_section(report: GateReport, outcome: str) -> str:
    """What the gate found, as a section of a description."""
    against = f"compared with version {report.champion}" if report.champion else report.why_no_champion
    lines = [
        f"| {check.name} | {_cell(check.found)} | {_cell(check.needed)} | {_result(check)} |" for check in report.checks
    ]
    table = "\n".join(("| check | found | needed | |", "|---|---|---|---|", *lines))
    return f"### Gate\n\n{_sentence(outcome)} {_sentence(against)}\n\n{table}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _result(check: GateCheck) -> str:
    if check.excused:
        return "excused"
    return "passed" if check.passed else "**failed**"


def _cell(text: str) -> str:
    short = text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
    return " ".join(short.split()).replace("|", "\\|")


def _since(alias: str, number: str | None, changes: Sequence[ModelChange]) -> str | None:
    """The version that has an alias, since when and why; None if no version has it."""
    if number is None:
        return None
    given = [c for c in changes if c.state == "done" and c.action in _GAVE and (c.alias, c.version) == (alias, number)]
    if not given:
        return f"version {number}, set outside of Lead Serving"
    last = given[-1]
    at = clock.to_text(last.at)[:16].replace("T", " ")
    return f"version {number} since {at} UTC, {_GAVE[last.action]} by {last.actor}: {last.why}"[:_LONGEST_TAG]

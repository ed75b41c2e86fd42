"""Scores of one subject or text, on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from cli.ui.database import opened
from cli.ui.queue import reasons_text
from cli.ui.terminal import console, escape, next_steps, note, table
from features.online.reader import open_reader
from leads import clock
from leads.errors import InvalidInput, LeadsError
from leads.events import Subject
from leads.platform.declaration import load_platform
from leads.policies import Policies
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import SubjectScore
from serving.scoring.scorer import Scorer
from serving.served import ServedMark
from serving.versions.published import PublishedVersions
from serving.worker.parts import follow_once

_COLUMNS = ("harm", "score", "tier", "why", "model", "flags")


def show_scores(
    settings: Settings,
    policies: Policies,
    *,
    subject: str | None,
    text: str | None,
    type_id: str,
    harms: Sequence[str] | None,
) -> None:
    """Score one subject with the champions and show the scores.

    Raises:
        InvalidInput: `subject` is not of the form TYPE:ID.
        LeadsError: why nothing was scored.
    """
    request = ScoreRequest(_subject(subject, type_id), harms=tuple(harms) if harms else None, text=text)
    scores, failed = _score(settings, policies, request)
    if not scores:
        raise failed[0] if failed else LeadsError("No champion scores this subject.", remedy="Run: leads models list")
    console.print(table(f"Scores of {escape(request.subject.key)}", _COLUMNS, map(_row, scores), right=("score",)))
    for error in failed:
        note(f"[yellow]{escape(str(error))}[/yellow]")
    steps = ("leads serve", "score over HTTP"), ("leads models list", "see the versions that scored")
    next_steps(*steps, settings=settings)


def _subject(key: str | None, type_id: str) -> Subject:
    if key is None:
        return Subject(type_id, "given-text")
    if not all(key.partition(":")):
        remedy = "Use TYPE:ID, for example comment:c12."
        raise InvalidInput(f"{key!r} is not a subject.", field="SUBJECT", remedy=remedy)
    return Subject.of_key(key)


def _score(
    settings: Settings, policies: Policies, request: ScoreRequest
) -> tuple[list[SubjectScore], list[LeadsError]]:
    """The scores by harm, and the errors of harms without one."""
    with opened(settings, create=False) as engine:
        follow_once(settings)
        published = PublishedVersions(settings, policies, engine)
        published.refresh()
        reader, log = open_reader(settings), PredictionLog(settings.predictions_dir, owner="cli")
        try:
            served = ServedMark(engine, log)
            languages = load_platform(settings.platform).language_fields
            scorer = Scorer(engine, policies, reader, published, served, languages=languages)
            scored = scorer.score([request], clock.now(), "api", explained="all")
            served.write()
        finally:
            log.close()
            reader.close()
    return [record for group in scored.groups for record in group.records()], [entry.error for entry in scored.errors]


def _row(score: SubjectScore) -> tuple[str, ...]:
    return (
        score.harm,
        f"{score.score:.3f}",
        score.tier,
        escape(reasons_text(score.reasons or ())),
        f"{score.model} v{score.version}",
        ", ".join(score.degraded),
    )

"""The ranked queue of leads."""

from __future__ import annotations

from collections.abc import Sequence

from cli.ui.database import opened
from cli.ui.terminal import age, console, escape, next_steps, note, table
from leads import clock
from leads.clock import Micros
from leads.content import ref_of
from leads.db.engine import reading
from leads.db.items import current_contents
from leads.errors import InvalidInput
from leads.messages.wording import short_number
from leads.policies import Policies
from leads.settings import Settings
from serving.queue import queue
from serving.queue.leads_table import STATES, Lead
from serving.queue.reviews import scored_contents
from serving.scoring.reasons.explanation import Reason

_COLUMNS = ("harm", "subject", "score", "waited", "priority", "why")
_WIDE = (*_COLUMNS, "tier", "model", "lead")
# Narrower terminals show only what the order of the queue is about, so that there is room for the reasons.
_ALL_FROM = 110
_EDITED = "[yellow]edited[/yellow] since it was scored"


def show_queue(settings: Settings, policies: Policies, *, harm: str | None, state: str, limit: int) -> None:
    """Show the leads with the highest priority.

    Raises:
        NotFound: an unknown harm.
        InvalidInput: an unknown state.
    """
    if harm is not None:
        policies.harm(harm, field="--harm")
    if state not in (*STATES, "all"):
        raise InvalidInput(f"{state!r} is not a state.", field="--state", remedy=f"Use {', '.join(STATES)} or all.")
    now = clock.now()
    with opened(settings, create=False) as engine, reading(engine) as connection:
        page = queue.list_leads(
            connection,
            queue=policies.queue,
            now=now,
            harms=[harm] if harm else None,
            state=next((known for known in STATES if known == state), None),
            limit=limit,
        )
        held = current_contents(connection, [lead.subject for lead in page.leads])
        scored = scored_contents(connection, page.leads, held)
    if not page.leads:
        note("The queue has no leads yet." if state == "all" else f"The queue has no {state} leads.")
        next_steps(
            ("leads status", "see what is missing"),
            ("leads worker --once", "score new events and open leads"),
            ("leads queue --state all", "see leads in every state"),
        )
        return
    title = "Leads, highest priority first" if state == "all" else f"Leads that are {state}, highest priority first"
    columns = _WIDE if console.width >= _ALL_FROM else _COLUMNS
    edited = {lead.id for lead in page.leads if scored[lead.id].hash != ref_of(held.get(lead.subject)).hash}
    rows = [_row(lead, now, edited=lead.id in edited)[: len(columns)] for lead in page.leads]
    console.print(table(title, columns, rows, right=("score", "waited", "priority")))
    next_steps(
        ("leads serve", "claim and decide leads over HTTP"),
        (f"leads queue --limit {min(limit * 2, 500)}", "see more"),
        settings=settings,
    )


def reasons_text(reasons: Sequence[Reason]) -> str:
    """The strongest reasons for a score."""
    return "; ".join(reason.text for reason in reasons[:2]) or "–"


def _row(lead: Lead, now: Micros, *, edited: bool) -> tuple[str, ...]:
    return (
        lead.harm,
        escape(lead.subject.key),
        f"{lead.score:.3f}",
        _waited(lead, now),
        short_number(lead.priority),
        _EDITED if edited else escape(reasons_text(lead.reasons)),
        lead.tier,
        f"v{lead.model_version}",
        lead.id[:10],
    )


def _waited(lead: Lead, now: Micros) -> str:
    """How long the lead has been in the queue, or was until it was decided."""
    if lead.state == "withdrawn":
        return "–"
    return age((lead.decided_at or now) - lead.created_at)

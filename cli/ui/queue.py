"""The ranked queue of leads."""

from __future__ import annotations

from collections.abc import Sequence

from cli.ui.database import opened
from cli.ui.terminal import console, escape, next_steps, note, table
from leads import clock
from leads.db.engine import reading
from leads.errors import InvalidInput
from leads.policies import Policies
from leads.settings import Settings
from serving.queue import queue
from serving.queue.leads_table import STATES, Lead
from serving.scoring.reasons import Reason

_COLUMNS = ("lead", "harm", "subject", "score", "tier", "priority", "why", "model")


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
    with opened(settings, create=False) as engine, reading(engine) as connection:
        page = queue.list_leads(
            connection,
            queue=policies.queue,
            now=clock.now(),
            harms=[harm] if harm else None,
            state=next((known for known in STATES if known == state), None),
            limit=limit,
        )
    if not page.leads:
        note("The queue has no leads yet." if state == "all" else f"The queue has no {state} leads.")
        next_steps(
            ("leads status", "see what is missing"),
            ("leads worker --once", "score new events and open leads"),
            ("leads queue --state all", "see leads in every state"),
        )
        return
    title = "Leads, highest priority first" if state == "all" else f"Leads that are {state}, highest priority first"
    console.print(table(title, _COLUMNS, map(_row, page.leads), right=("score", "priority")))
    next_steps(
        ("leads serve", "claim and decide leads over HTTP"), (f"leads queue --limit {min(limit * 2, 500)}", "see more")
    )


def reasons_text(reasons: Sequence[Reason]) -> str:
    """The strongest reasons for a score."""
    return "; ".join(reason.text for reason in reasons[:2]) or "–"


def _row(lead: Lead) -> tuple[str, ...]:
    return (
        lead.id[:10],
        lead.harm,
        escape(lead.subject.key),
        f"{lead.score:.3f}",
        lead.tier,
        f"{lead.priority:.1f}",
        escape(reasons_text(lead.reasons)),
        f"v{lead.model_version}",
    )

"""Requests of the demo to the running service, their answers, and the alerts that it ends with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cli.ui.database import opened
from cli.ui.terminal import console, escape, note, table
from leads import clock
from leads.alerting.alert import Alert
from leads.db.engine import reading
from leads.db.model_changes import current_actor
from leads.db.monitoring import alerts
from leads.errors import LeadsError
from leads.messages.wording import short_number
from leads.policies import Policies
from leads.settings import Settings
from leads_client import Client, subject
from leads_client.schemas.base import ReasonOut, Ref, SubjectIn
from leads_client.schemas.leads import ClaimedLead, LeadOut
from simulation.truth import Found

REVIEWER = "demo-reviewer"
# The rules whose alerts show the simulated change.
_ABOUT_CHANGES = ("flagged_surge", "score_drift", "input_drift", "text_drift")
# The rule about leads that wait, and what is said about its alerts.
_QUEUE, _NOBODY = "queue_old", "Nobody reviews in this demo."
_TEXT = "Subscribe to my channel and get free gift cards at www.example.com !!!"


def top_leads(api: Client, policies: Policies, *, per_harm: int = 4) -> None:
    """Show the best leads of each harm."""
    rows = []
    for harm in policies.harms:
        found = api.leads([harm], limit=per_harm).leads
        for i, lead in enumerate(found):
            rows.append(
                (
                    harm if i == 0 else "",
                    _named(lead.subject),
                    f"{lead.score:.3f}",
                    short_number(lead.priority),
                    _why(lead.reasons) or "–",
                    f"{lead.model} v{lead.model_version}",
                )
            )
        if not found:
            rows.append((harm, "–", "", "", "[dim]no leads: no model, or no score above the threshold[/dim]", ""))
    columns = ("harm", "subject", "score", "priority", "why", "model")
    console.print(table("GET /v1/leads", columns, rows, right=("score", "priority")))


def show_found(found: Iterable[Found]) -> None:
    """Show how many of the leads really violate, and how many of the violating subjects are leads."""
    rows = [
        (
            one.harm,
            f"{one.leads:,}",
            f"{one.violating:,}",
            _share(one.precision),
            f"{one.to_find:,}",
            f"{one.found:,}",
            _share(one.recall),
        )
        for one in found
    ]
    columns = ("harm", "leads", "violating", "precision", "to find", "found", "recall")
    console.print(table("Leads compared with the true labels", columns, rows, right=columns[1:]))
    note(
        "  [dim]Leads without a true label are left out. To find: violating subjects that were active after training "
        "and had not been reviewed before.[/dim]"
    )


def show_decided(api: Client, lead_id: str) -> None:
    """Show the lead that an earlier run of the demo decided."""
    lead = api.lead(lead_id).lead
    note(f"  Done by an earlier run: {lead.harm} on {_named(lead.subject)} is {lead.verdict}.")


def decide_one(api: Client) -> str:
    """Claim the best lead and decide it; returns its id."""
    held = _held(api) or _claim(api)
    answer = api.decide(held.id, "violating", REVIEWER, reason="Decided by the demo.")
    note(f"  POST /v1/leads/claim          → {held.harm} on {_named(held.subject)}; reviewers don't see the score")
    note(f"  POST /v1/leads/…/decision     → {answer.verdict}, by {answer.reviewer}")
    for entry in api.audit(held.id).entries:
        note(f"  [dim]audit  {entry.at[:19]}Z  {entry.action:<10} {entry.actor}[/dim]")
    return held.id


def score_a_text(api: Client) -> None:
    """Score a text that is not in the event log."""
    answer = api.score([subject("comment", "new", text=_TEXT)], reasons=True)
    rows = [
        (
            score.harm,
            f"{score.score:.3f}",
            score.tier,
            _why(score.explanation.reasons) if score.explanation else "",
            f"{score.model} v{score.model_version}",
        )
        for score in answer.results[0].scores
    ]
    note(f"  [dim]{_TEXT}[/dim]")
    console.print(table("POST /v1/score", ("harm", "score", "tier", "why", "model"), rows, right=("score",)))


def campaign_of(settings: Settings) -> Alert | None:
    """The alert to show: the first one about what the model sees, if there is one."""
    with opened(settings) as engine, reading(engine) as connection:
        found = alerts.unresolved(connection)
    return next((alert for alert in found if alert.rule in _ABOUT_CHANGES), next(iter(found), None))


def acknowledge_queues(settings: Settings) -> None:
    """Acknowledge the alerts about leads that wait, as `leads alerts ack` does."""
    with opened(settings) as engine, engine.begin() as connection:
        for alert in alerts.unresolved(connection):
            if alert.rule == _QUEUE and alert.state == "firing":
                alerts.acknowledge(connection, alert.seq, current_actor(), clock.now(), note=_NOBODY)
                note(f'  [dim]$ leads alerts ack {alert.seq} --note "{_NOBODY}"[/dim]  {escape(alert.harm)}')


def _held(api: Client) -> LeadOut | None:
    """The lead that an interrupted demo had claimed."""
    return next((lead for lead in api.iter_leads(state="claimed") if lead.claimed_by == REVIEWER), None)


def _claim(api: Client) -> ClaimedLead:
    claimed = api.claim(REVIEWER).leads
    if not claimed:
        raise LeadsError("There is no lead to claim.", remedy="Start over: leads demo --fresh")
    return claimed[0]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _why(reasons: Sequence[ReasonOut]) -> str:
    return escape("; ".join(reason.text for reason in reasons[:2]))


def _named(one: Ref | SubjectIn) -> str:
    return f"{one.type_id}:{one.id}"

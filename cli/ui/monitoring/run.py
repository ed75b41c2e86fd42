"""What one run of monitoring did."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

from cli.ui.terminal import console, escape, minute, next_steps, note, print_json, working
from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.monitoring import alerts
from leads.messages.wording import counted
from leads.policies import Policies
from leads.settings import Settings
from monitoring.alerts.retraining import Retrainings
from monitoring.running.all_jobs import describe
from monitoring.running.opened import opened_world
from monitoring.running.run import Outcome, run


def run_and_show(
    settings: Settings,
    policies: Policies,
    harms: Sequence[str] | None,
    *,
    until: Micros | None,
    now: Micros | None,
    json: bool,
    quiet: bool,
) -> bool:
    """Run the jobs once and show what they did; returns whether anything failed.

    Raises:
        NotFound: an unknown harm.
        Conflict: another process monitors this home.
        ConfigurationError: there is no database yet, or its schema is older than this version needs.
        Unavailable: the database doesn't respond.
    """
    for harm in harms or ():
        policies.harm(harm, field="--harm")
    with ExitStack() as opened:
        world = opened.enter_context(opened_world(settings, policies, now=now))
        # JSON is the only output.
        tell = None if json else opened.enter_context(working("running the jobs that are due"))
        outcome = run(
            world,
            describe=describe(world),
            harms=harms or None,
            until=until,
            on_step=lambda step: None if tell is None else tell(step, 0, 1),
        )
        if outcome.run:
            if tell is not None:
                tell("retraining for alerts whose rule asks for it", 0, 1)
            Retrainings(settings).finish(world.engine, policies.monitoring)
        with reading(world.engine) as connection:
            firing = sum(alerts.firing(connection).values())
    if json:
        print_json(_document(outcome, firing))
    else:
        _show(outcome, firing)
        if not quiet:
            next_steps(*_steps(outcome, firing))
    return outcome.failed > 0


def _document(outcome: Outcome, firing: int) -> bytes:
    document = {
        "run": outcome.run or None,
        "summarised_hours": outcome.hours,
        "measured_windows": outcome.windows,
        "measured_until": None if outcome.until is None else clock.to_text(outcome.until),
        "failed": outcome.failed,
        "firing_alerts": firing,
        "notes": outcome.notes,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


def _show(outcome: Outcome, firing: int) -> None:
    for line in outcome.notes:
        note(escape(line))
    measured = f"measured {counted(outcome.windows, 'window')}"
    if outcome.until is not None:
        measured += f", the newest up to {minute(outcome.until)} UTC"
    note(f"Summarised {counted(outcome.hours, 'hour')} of predictions, {measured}.")
    if outcome.failed:
        console.print(f"[red]{counted(outcome.failed, 'part')} failed; see above.[/red]")
    if firing:
        console.print(f"[bold]{counted(firing, 'alert')} firing.[/bold]")


def _steps(outcome: Outcome, firing: int) -> list[tuple[str, str]]:
    found = [("leads status", "see the newest figures of every harm")]
    if firing:
        found.insert(0, ("leads alerts", "see what fires, and what to do about it"))
    if outcome.failed:
        found.insert(0, ("leads doctor", "find out what is wrong with the set-up"))
    return found

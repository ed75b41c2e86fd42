"""`leads monitor` and `leads alerts`; `leads drift` and `leads skew`, which exit with 3 when they find something."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, Quiet, duration, instant, read_configuration, read_settings

FOUND, NO_VERDICT = 3, 4
monitor_app = typer.Typer(help="Run the jobs that measure, judge and report.", no_args_is_help=True)
alerts_app = typer.Typer(help="List, explain, acknowledge and silence alerts.")
Days = Annotated[float, typer.Option(min=0.01, help="Length of the window in days.")]
Until = Annotated[str | None, typer.Option(help="End of the window, in RFC 3339. Default: the newest prediction.")]


def drift(
    harm: Annotated[str | None, typer.Argument(help="A harm declared in policies.yaml.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every harm.")] = False,
    days: Annotated[
        float | None,
        typer.Option(min=0.01, help="Length of the window in days. Default: that of the scheduled verdict, a day."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(help="End of the window, in RFC 3339. Default: that of the newest scheduled verdict."),
    ] = None,
    version: Annotated[str | None, typer.Option(help="Only predictions of this version.")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Rank what changed since the four windows before, from this host's log.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Also write all of it to this JSON file; - prints only that.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Check whether recent predictions have drifted.

    Exits with 3 if they have, and with 4 if there is no verdict: too few predictions, or windows that vary too much
    for a change to be seen.
    """
    from cli.ui.drift import Look, show_drift

    if (harm is None) != all_:
        raise typer.BadParameter(
            "--all is every harm: leave out HARM, or --all" if all_ else "name a harm, or use --all"
        )
    look = Look(days, instant(until, "--until"), version, explain)
    drifted = show_drift(*read_configuration(), harm, look, json=json, quiet=quiet)
    if drifted is not False:
        raise typer.Exit(FOUND if drifted else NO_VERDICT)


def skew(
    harm: Annotated[str | None, typer.Argument(help="Only this harm. Default: every harm with predictions.")] = None,
    days: Days = 1.0,
    until: Until = None,
    sample: Annotated[int, typer.Option(min=1, help="Check at most this many predictions per harm.")] = 20_000,
    lag: Annotated[
        float, typer.Option(min=0, help="Accept feature rows that were out of date for at most this many seconds.")
    ] = 10.0,
    json: Annotated[
        Path | None, typer.Option(help="Also write all of it to this JSON file; - prints only that.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Check for training-serving skew by recomputing logged features. Exits with code 3 if any feature differs."""
    from cli.ui.skew import show_skew

    settings, policies = read_configuration()
    end = instant(until, "--until")
    if show_skew(settings, policies, harm, days=days, until=end, sample=sample, lag_s=lag, json=json, quiet=quiet):
        raise typer.Exit(FOUND)


@monitor_app.command("run")
def monitor_run(
    harm: Annotated[
        list[str] | None, typer.Option(help="Only this harm; repeat for several. Default: every harm.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="Measure the newest windows that end by this time (RFC 3339) again, and judge nothing. "
            "Default: measure whatever is due."
        ),
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(help="Run as if it were this time (RFC 3339), for events of a simulation. Default: the clock's."),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the jobs that are due, once: summarise this home's predictions, measure, judge the rules, report.

    It is safe to start twice and to interrupt. Exits with 1 if a job failed.
    """
    import logging
    import sys

    if sys.stderr.isatty():
        # People see them with `leads alerts`; a scheduler's log has a line for each.
        logging.getLogger("monitoring.alerts").setLevel(logging.ERROR)
    from cli.ui.monitoring.run import run_and_show

    settings, policies = read_configuration()
    of, at = instant(until, "--until"), instant(now, "--now")
    if run_and_show(settings, policies, harm, until=of, now=at, json=json, quiet=quiet):
        raise typer.Exit(1)


@monitor_app.command("watch")
def monitor_watch(
    after: Annotated[float, typer.Option(min=0, help="Wait this many seconds before the first run.")] = 0.0,
) -> None:
    """Run the jobs again and again until Ctrl-C, as often as `monitoring.every_minutes` in the policies says.

    `leads serve` does this too.
    """
    import os
    import signal
    import threading

    from serving.observe import logs

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    # Measuring must not take the processor from the processes that answer requests.
    os.nice(10)
    settings = read_settings()
    logs.set_up(settings)
    # Before the imports, which take a second.
    if stopped.wait(after):
        return
    from monitoring.running.watching import Watch

    Watch(settings, stopped).watch()


Id = Annotated[int, typer.Argument(metavar="ID", help="The alert's number, as shown by `leads alerts`.")]


@alerts_app.callback(invoke_without_command=True)
def alerts_default(context: typer.Context) -> None:
    """Without a command: list the open alerts."""
    if context.invoked_subcommand is None:
        alerts_list()


@alerts_app.command("list")
def alerts_list(
    harm: Annotated[str | None, typer.Option(help="Only alerts of this harm.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only alerts of this rule.")] = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Also those that resolved in the last seven days.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List the open alerts, pages first, and the silences that hold."""
    from cli.ui.monitoring.alerts import show_alerts

    show_alerts(*read_configuration(), harm, rule=rule, resolved=resolved, json=json, quiet=quiet)


@alerts_app.command("show")
def alerts_show(alert: Id, json: Json = False, quiet: Quiet = False) -> None:
    """Show an alert: what moved, since when, which leads it affects, what else happened, and what to do."""
    from cli.ui.monitoring.alerts import show_alert

    show_alert(read_settings(), alert, json=json, quiet=quiet)


@alerts_app.command("ack")
def alerts_ack(
    alert: Id,
    why: Annotated[str | None, typer.Option("--note", help="What others should know, such as the cause.")] = None,
) -> None:
    """Say that you look after an alert. Nothing more is sent about it until it resolves, which it does by itself."""
    from cli.ui.monitoring.alerts import acknowledge_alert

    acknowledge_alert(read_settings(), alert, why=why)


@alerts_app.command("silence")
def alerts_silence(
    rule: Annotated[str, typer.Argument(help="A rule's name, such as input_drift, or `all`.")],
    why: Annotated[str, typer.Option(help="Why, for others.")],
    length: Annotated[str, typer.Option("--for", help="For how long, such as 4h or 7d; at most 90d.")] = "4h",
    harm: Annotated[str | None, typer.Option(help="Only for this harm. Default: all.")] = None,
) -> None:
    """Send nothing about a rule's alerts for some time. They are still recorded."""
    from cli.ui.monitoring.alerts import add_silence

    span = duration(length, "--for") or 0
    add_silence(*read_configuration(), rule, harm=harm, length=span, why=why)


@alerts_app.command("unsilence")
def alerts_unsilence(
    silence: Annotated[int, typer.Argument(metavar="ID", help="The silence's number, as shown by `leads alerts`.")],
) -> None:
    """End a silence now."""
    from cli.ui.monitoring.alerts import end_silence

    end_silence(read_settings(), silence)

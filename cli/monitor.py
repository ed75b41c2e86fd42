"""`leads monitor`, and `leads drift` and `leads skew`, which exit with 3 when they find something."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Harm, Json, Quiet, instant, read_configuration, read_settings

FOUND = 3
monitor_app = typer.Typer(help="Run the jobs that measure, judge and report.", no_args_is_help=True)
Days = Annotated[float, typer.Option(min=0.01, help="Length of the window in days.")]
Until = Annotated[str | None, typer.Option(help="End of the window, in RFC 3339. Default: the newest prediction.")]


def drift(
    harm: Harm,
    days: Days = 1.0,
    until: Until = None,
    quiet: Quiet = False,
) -> None:
    """Check whether recent predictions drifted from the champion's reference sample. Exits with code 3 if they did."""
    from cli.ui.drift import show_drift

    if show_drift(*read_configuration(), harm, days=days, until=instant(until, "--until"), quiet=quiet):
        raise typer.Exit(FOUND)


def skew(
    harm: Annotated[str | None, typer.Argument(help="Only this harm. Default: every harm with predictions.")] = None,
    days: Days = 1.0,
    until: Until = None,
    sample: Annotated[int, typer.Option(min=1, help="Check at most this many predictions per harm.")] = 20_000,
    lag: Annotated[
        float, typer.Option(min=0, help="Accept feature rows that were out of date for at most this many seconds.")
    ] = 10.0,
    json: Annotated[Path | None, typer.Option(help="Also write the full result to this JSON file.")] = None,
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
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the jobs that are due, once: summarise this home's predictions, measure, judge the rules, report.

    It is safe to start twice and to interrupt. Exits with 1 if a job failed.
    """
    from cli.ui.monitoring.run import run_and_show

    settings, policies = read_configuration()
    if run_and_show(settings, policies, harm, until=instant(until, "--until"), json=json, quiet=quiet):
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

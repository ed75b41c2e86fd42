"""`leads serve`, `restart`, `worker`, `score-backlog`, `score`, `queue`, `status`, `doctor`: running models."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, Quiet, instant, read_configuration, read_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: LEADS_HOST, or 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: LEADS_PORT, or 3000.")] = None,
    workers: Annotated[int | None, typer.Option(help="Number of API processes. Default: LEADS_WORKERS, or 1.")] = None,
    with_worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Also run the background worker.")] = True,
    no_monitor: Annotated[
        bool, typer.Option("--no-monitor", help="Don't run the jobs of monitoring. Default: LEADS_MONITOR, or on.")
    ] = False,
) -> None:
    """Migrate the database, then run the HTTP API, the model follower, the worker and monitoring until Ctrl-C."""
    from functools import partial

    from cli.ui.database import migrate_database
    from cli.ui.service.instances import show_listening
    from cli.ui.terminal import warn_about_variables
    from serving.instance.continued import is_continued
    from serving.supervisor import serve as supervise

    warn_about_variables()
    monitor = "off" if no_monitor else None
    reread = partial(read_settings, host=host, port=port, workers=workers, monitor=monitor)
    settings = reread()
    if not is_continued():
        # Before any child starts: children only check the schema.
        migrate_database(settings, quiet=True)
    supervise(settings, with_worker=with_worker, on_listening=partial(show_listening, settings), reread=reread)


def restart(
    environment: Annotated[
        bool,
        typer.Option(
            "--environment",
            help="From now on, use this command's environment variables instead of the service's.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Restart even if versions that are in memory can't be loaded again."),
    ] = False,
) -> None:
    """Restart the service that runs in this home, with the code and settings as they are now, without refusing a
    request.

    New API processes take over once they are ready. If they don't become ready, or can't load a version that the
    earlier ones have in memory, the earlier ones stay.
    """
    from cli.ui.service.instances import restart_instances

    restart_instances(read_settings(), environment=environment, force=force)


def worker(
    once: Annotated[bool, typer.Option("--once", help="Process the events now in the log, then stop.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Delete all feature rows first and compute them again.")
    ] = False,
    partition: Annotated[
        int | None,
        typer.Option(min=0, help="Process only this partition. Default: the first free one; with --once, all."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="If other workers have the partitions, wait until one of them ends.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compute features from new events, score the subjects that the events touched, and open leads."""
    from cli.ui.terminal import note, warn_about_variables
    from cli.ui.worker import process_once
    from serving.worker.run import chosen_partitions, delete_features, run_until_stopped

    settings = read_settings()
    partitions = chosen_partitions(settings, partition)
    if rebuild:
        scored = delete_features(settings)
        note(f"Deleted all feature rows. Computing them again. Events up to {scored:,} are not scored again.")
    if once:
        # A worker that keeps running logs them.
        warn_about_variables()
        process_once(settings, partitions, quiet=quiet)
    else:
        run_until_stopped(settings, partitions, wait=wait)


def score_backlog(
    harm: Annotated[
        list[str] | None, typer.Option(help="Only this harm; repeat for several. Default: all that have a champion.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only subjects whose last event became visible at this time (RFC 3339) or later."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Score about this many subjects of each harm, newest first.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the subjects.")] = False,
    quiet: Quiet = False,
) -> None:
    """Score subjects that have never been scored for a harm because no event has touched them since the harm got its
    first champion.

    The newest subjects are scored first. To continue where the command stopped, run it again.
    """
    from cli.ui.worker import score_and_show, show_backlog

    settings, policies = read_configuration()
    start = instant(since, "--since")
    if dry_run:
        show_backlog(settings, policies, harm, since=start, quiet=quiet)
    else:
        score_and_show(settings, policies, harm, since=start, limit=limit, quiet=quiet)


def score(
    subject: Annotated[
        str | None, typer.Argument(help="TYPE:ID of a subject in the event log, for example comment:c12.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Score this text instead of a known subject.")] = None,
    type_id: Annotated[str, typer.Option("--type", help="Subject type of the text.")] = "comment",
    harm: Annotated[list[str] | None, typer.Option(help="Only this harm; repeat for several. Default: all.")] = None,
) -> None:
    """Score one subject or text on this machine, without the service."""
    from cli.ui.scores import show_scores

    if (subject is None) == (text is None):
        raise typer.BadParameter("Give either a subject as TYPE:ID, or --text.", param_hint="SUBJECT")
    show_scores(*read_configuration(), subject=subject, text=text, type_id=type_id, harms=harm)


def queue(
    harm: Annotated[str | None, typer.Option(help="Only this harm. Default: all.")] = None,
    state: Annotated[str, typer.Option(help="open, claimed, decided, escalated, withdrawn or all.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Show at most this many leads.")] = 20,
) -> None:
    """Show the leads with the highest priority."""
    from cli.ui.queue import show_queue

    show_queue(*read_configuration(), harm=harm, state=state, limit=limit)


def status(
    json: Json = False,
    require: Annotated[
        list[str] | None,
        typer.Option(help="Fail unless this part runs: api, follower, monitor or worker; repeat for several."),
    ] = None,
) -> None:
    """Check each part, and show what exists, how much of the event log is processed, and what to do next.

    Exits with 1 if a check failed. A part that isn't running fails only with --require.
    """
    from cli.checks.findings import failing
    from cli.checks.processes import PARTS
    from cli.checks.run import as_json
    from cli.ui.status import show_status, status_document
    from cli.ui.terminal import print_json, warn_about_variables
    from leads.db.engine import database_url

    required = require or []
    if not set(required) <= set(PARTS):
        raise typer.BadParameter(f"Use {', '.join(PARTS[:-1])} or {PARTS[-1]}.", param_hint="--require")
    warn_about_variables()
    settings, policies = read_configuration()
    # Without a valid URL, nearly every check would say the same.
    database_url(settings)
    if json:
        findings, more = status_document(settings, policies)
        print_json(as_json(findings, required, **more))
    else:
        findings = show_status(settings, policies)
    if failing(findings, required):
        raise typer.Exit(1)


def doctor(json: Json = False) -> None:
    """Explain what is wrong with a set-up: settings, packages, files, servers, this host; and what to do.

    It checks what leads status checks, and more. Exits with 1 if a check failed.
    """
    from cli.ui.checks import diagnose

    if not diagnose(json=json):
        raise typer.Exit(1)

"""The `leads` command. It puts the packages together, each imported only by the command that needs it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from cli.models import models_app
from cli.train import retrain, train
from leads.errors import LeadsError

if TYPE_CHECKING:
    from leads.settings import Settings

app = typer.Typer(
    name="leads",
    help="Calibrated, explained, ranked leads for Trust & Safety review.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
keys_app = typer.Typer(help="API keys.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(models_app, name="models")
app.command()(train)
app.command()(retrain)

Harm = Annotated[str, typer.Argument(help="A harm declared in policies.yaml.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print no next steps.")]


def _settings(**given: object) -> Settings:
    """Read them only when a command runs: `leads --help` answers at once."""
    from leads.settings import load_settings

    return load_settings(**given)


def main() -> NoReturn:
    """Run the command; a LeadsError ends it with one message on stderr and exit code 1, wrong usage with 2."""
    try:
        app(standalone_mode=True)
    except LeadsError as error:
        from rich.markup import escape

        from cli.ui.terminal import errors

        errors.print(f"[bold red]error:[/bold red] {escape(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


@app.callback()
def _start(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False) -> None:
    import os

    from leads.processes import QUIET

    os.environ.update(QUIET)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


@app.command()
def demo(
    quick: Annotated[bool, typer.Option("--quick", help="A smaller platform: about a minute.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget an earlier demo first.")] = False,
) -> None:
    """From nothing to ranked leads over HTTP, a decision and a drift report. Goes on where it was interrupted."""
    from cli.demo import run

    run(_settings(), quick=quick, fresh=fresh)


@app.command()
def simulate(
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: simulation/ below LEADS_HOME.")] = None,
    preset: Annotated[str, typer.Option(help="standard: 5,000 accounts, 30 days. small: seconds.")] = "standard",
    accounts: Annotated[int | None, typer.Option(help="How many accounts, instead of the preset's.")] = None,
    days: Annotated[int | None, typer.Option(help="Days of history, instead of the preset's.")] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes.")] = 1,
    end: Annotated[
        str | None, typer.Option(help="When the simulated time ends, RFC 3339; default: a fixed date.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Simulate a platform: events, and the truth about every subject."""
    from cli.ui.simulation import simulate_on_screen

    settings = _settings()
    folder = out or settings.root / "simulation"
    simulate_on_screen(
        settings, folder, preset_name=preset, accounts=accounts, days=days, seed=seed, end=end, quiet=quiet
    )


@app.command()
def ingest(
    file: Annotated[Path, typer.Argument(help="JSON Lines, one event a line.")],
    quiet: Quiet = False,
) -> None:
    """Append a file of events to the log. Known ids change nothing."""
    from cli.ui.terminal import next_steps, note, progress
    from leads.db.engine import open_engine
    from leads.db.ingest import ingest as ingest_file

    engine = open_engine(_settings())
    with progress("events appended") as tell:
        result = ingest_file(engine, file, on_progress=tell)
    note(
        f"{result.accepted:,} events appended, {result.duplicates:,} known already; the log ends at {result.offset:,}."
    )
    if not quiet:
        next_steps(("leads worker --once", "derive features and leads from it"), ("leads train --all", "train on it"))


@app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="Work off what is there, then stop.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Forget every feature row and derive them again.")] = False,
    partition: Annotated[
        int | None,
        typer.Option(min=0, help="With LEADS_PARTITIONS above 1: whose rows to write; default: a free one."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Derive features from the log, score what events touched, offer leads."""
    from serving.worker.run import run

    run(_settings(), once=once, rebuild=rebuild, partition=partition, quiet=quiet)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: loopback.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, typer.Option(help="API worker processes.")] = None,
    with_worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run the background worker too.")] = True,
) -> None:
    """The HTTP service, its model follower and its worker, until Ctrl-C."""
    from cli.ui.terminal import next_steps, note
    from leads.db.engine import open_engine
    from serving.supervisor import serve as run

    given: dict[str, Any] = {"host": host, "port": port, "workers": workers}
    settings = _settings(**{name: value for name, value in given.items() if value is not None})
    open_engine(settings).dispose()
    address = f"http://{settings.host}:{settings.port}"
    note(f"Lead Serving on {address}; logs in {settings.root / 'logs'}. Ctrl-C ends it.")
    next_steps(
        ("leads keys create NAME", "a key for the API"),
        (f"curl {address}/readyz", "is it ready"),
        (f"{address}/v1/docs", "the API's pages"),
    )
    run(settings, with_worker=with_worker)


@app.command()
def score(
    subject: Annotated[str | None, typer.Argument(help="TYPE:ID of a known subject, for example comment:c12.")] = None,
    text: Annotated[str | None, typer.Option(help="Score this text instead of a known subject.")] = None,
    type_id: Annotated[str, typer.Option("--type", help="Type of the subject whose text this is.")] = "comment",
    harm: Annotated[list[str] | None, typer.Option(help="Only these harms.")] = None,
) -> None:
    """Score one subject here, without the service."""
    from cli.ui.serving import score_on_screen

    if (subject is None) == (text is None):
        raise typer.BadParameter("Give a known subject as TYPE:ID, or --text.", param_hint="SUBJECT")
    score_on_screen(_settings(), subject=subject, text=text, type_id=type_id, harms=harm)


@app.command()
def queue(
    harm: Annotated[str | None, typer.Option(help="Only this harm.")] = None,
    state: Annotated[str, typer.Option(help="open, claimed, decided or all.")] = "open",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 20,
) -> None:
    """The best leads, ranked."""
    from cli.ui.serving import queue_on_screen

    queue_on_screen(_settings(), harm=harm, state=state, limit=limit)


@app.command()
def drift(
    harm: Harm,
    days: Annotated[
        float, typer.Option(min=0.01, help="Length of the window that ends with the newest prediction.")
    ] = 1.0,
    quiet: Quiet = False,
) -> None:
    """Has what the model sees moved away from what it was trained on? Exit code 3 when it has."""
    from cli.ui.drift import drift_on_screen
    from leads.policies import load_policies

    settings = _settings()
    if drift_on_screen(settings, load_policies(settings.policies), harm, days=days, quiet=quiet):
        raise typer.Exit(3)


@app.command()
def skew(
    harm: Annotated[str | None, typer.Argument(help="Only this harm; default: all that have predictions.")] = None,
    days: Annotated[float, typer.Option(min=0.01, help="Length of the window.")] = 1.0,
    until: Annotated[str | None, typer.Option(help="Its end, RFC 3339; default: the newest prediction.")] = None,
    sample: Annotated[int, typer.Option(min=1, help="Of more predictions, so many per harm are checked.")] = 20_000,
    lag: Annotated[float, typer.Option(min=0, help="Seconds for which a row may be out of date.")] = 10.0,
    json: Annotated[Path | None, typer.Option(help="Write everything that was found to this file.")] = None,
    quiet: Quiet = False,
) -> None:
    """Was what was served what training would see? Derives logged predictions again; exit code 3 when any differs."""
    from cli.ui.skew import skew_on_screen

    if skew_on_screen(_settings(), harm, days=days, until=until, sample=sample, lag_s=lag, json=json, quiet=quiet):
        raise typer.Exit(3)


@app.command()
def status() -> None:
    """What there is, how far each part has come, and what to do next."""
    from cli.ui.serving import status_on_screen

    status_on_screen(_settings())


@keys_app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="score, leads:read, leads:decide, events:write, admin.")
    ] = None,
    harm: Annotated[list[str] | None, typer.Option(help="Limit the key to these harms.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Requests per second; 0: no limit. Default: LEADS_RATE_LIMIT.")
    ] = None,
) -> None:
    """Make a key and print it, once."""
    from cli.ui.serving import create_key_on_screen

    create_key_on_screen(_settings(), name, scopes=scope, harms=harm, rate=rate)


@keys_app.command("list")
def keys_list() -> None:
    """The keys there are; never the secrets."""
    from cli.ui.serving import keys_on_screen

    keys_on_screen(_settings())


@keys_app.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The key's id, as `leads keys list` shows it.")]) -> None:
    """Revoke a key; it stops working within seconds."""
    from cli.ui.serving import revoke_key_on_screen

    revoke_key_on_screen(_settings(), key_id)


if __name__ == "__main__":
    main()

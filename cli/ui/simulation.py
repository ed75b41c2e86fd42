"""`leads simulate`: makes a platform and shows what is in it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cli.ui.terminal import console, next_steps, note, progress, table
from leads import clock
from leads.clock import Micros
from leads.corpora import available
from leads.errors import InvalidInput
from leads.settings import Settings
from simulation.config import Period, Preset, SimulationConfig, preset
from simulation.history import SimulationManifest, load_manifest, simulate


def simulate_on_screen(
    settings: Settings,
    folder: Path,
    *,
    preset_name: str,
    accounts: int | None,
    days: int | None,
    seed: int,
    end: str | None,
    quiet: bool,
) -> None:
    """Simulate into `folder`, unless the very same simulation is there already."""
    config = configure(preset_name, accounts=accounts, days=days, seed=seed, end=end)
    manifest = _there(folder, config, settings.corpora_dir)
    if manifest is None:
        with progress("days simulated") as tell:
            manifest = simulate(config, folder, corpora=settings.corpora_dir, on_progress=tell)
    else:
        note(f"This very simulation is in {folder} already.")
    show(manifest)
    if not quiet:
        first = folder / manifest.periods[0].file
        next_steps((f"leads ingest {first}", "append the history to the event log"))


def configure(
    preset_name: str, *, accounts: int | None, days: int | None, seed: int, end: str | None
) -> SimulationConfig:
    """A preset, resized and moved in time.

    Raises:
        InvalidInput: names the option that is wrong.
    """
    names: tuple[Preset, ...] = ("standard", "small")
    chosen = next((name for name in names if name == preset_name), None)
    if chosen is None:
        raise InvalidInput(
            f"There is no preset {preset_name!r}.", field="--preset", remedy=f"One of: {', '.join(names)}."
        )
    config = preset(chosen, seed=seed)
    if accounts is not None:
        config = msgspec.structs.replace(config, accounts=accounts)
    if days is not None:
        history, *later = config.periods
        config = msgspec.structs.replace(config, periods=(Period(history.name, days), *later))
    if end is not None:
        config = msgspec.structs.replace(config, start=_instant(end) - config.days * clock.DAY)
    return config


def show(manifest: SimulationManifest) -> None:
    """The simulation's text, events and truth, as two small tables."""
    source = f"the corpora {', '.join(manifest.corpora)}" if manifest.text_source == "corpora" else "own templates"
    note(f"Text: [bold]{source}[/bold]")
    periods = [
        (
            period.file,
            f"{clock.to_text(period.start)[:10]} to {clock.to_text(period.end)[:10]}",
            f"{period.events:,}",
            ", ".join(f"{count:,} {kind}" for kind, count in period.kinds.items()),
        )
        for period in manifest.periods
    ]
    console.print(table("Events", ("file", "days", "events", "of these"), periods, right=("events",)))
    harms = [
        (name, f"{harm.violating:,}", f"{harm.not_violating:,}", f"{harm.unknown:,}", f"{harm.decided:,}")
        for name, harm in manifest.harms.items()
    ]
    columns = ("harm", "violating", "not", "unknown", "decided")
    console.print(table("Subjects, by the truth", columns, harms, right=columns[1:]))


def _there(folder: Path, config: SimulationConfig, corpora: Path | None) -> SimulationManifest | None:
    try:
        manifest = load_manifest(folder)
    except InvalidInput:
        return None
    same_text = set(manifest.corpora) == set(available(corpora) if corpora else ())
    return manifest if manifest.config == config and same_text else None


def _instant(text: str) -> Micros:
    try:
        return clock.from_text(text)
    except ValueError as error:
        raise InvalidInput(
            f"{text!r} is no time: {error}.", field="--end", remedy="Write it like 2026-01-31T12:00:00Z."
        ) from error

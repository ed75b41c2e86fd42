"""Simulating a platform, and what is in it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cli.ui.corpora import print_corpora
from cli.ui.terminal import console, escape, next_steps, note, progress, table
from leads import clock
from leads.clock import Micros
from leads.corpora import available
from leads.errors import InvalidInput
from leads.settings import Settings
from simulation.config import PRESETS, Period, SimulationConfig, preset
from simulation.history import SimulationManifest, load_manifest, simulate


def simulate_platform(
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
    """Simulate into `folder`, unless the same simulation is there already, and show what is in it.

    Raises:
        InvalidInput: an option is wrong.
    """
    config = configure(preset_name, accounts=accounts, days=days, seed=seed, end=end)
    print_corpora(settings)
    manifest = _existing(folder, config, settings.corpora_dir)
    if manifest is None:
        with progress("days simulated") as tell:
            manifest = simulate(config, folder, corpora=settings.corpora_dir, on_progress=tell)
    else:
        note(f"The same simulation is already in {escape(str(folder))}. Nothing was changed.")
    show_simulation(manifest)
    if not quiet:
        steps = [(f"leads ingest {folder / period.file}", f"append its {period.name}") for period in manifest.periods]
        next_steps(*steps, ("leads worker --once", "then compute features from the events"))


def configure(
    preset_name: str, *, accounts: int | None, days: int | None, seed: int, end: str | None
) -> SimulationConfig:
    """A preset, with the given size and time.

    Raises:
        InvalidInput: names the wrong option.
    """
    chosen = next((name for name in PRESETS if name == preset_name), None)
    if chosen is None:
        raise InvalidInput(
            f"{preset_name!r} is not a preset.", field="--preset", remedy=f"Use one of: {', '.join(PRESETS)}."
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


def show_simulation(manifest: SimulationManifest) -> None:
    """Show the simulation's events and true labels."""
    source = f"corpora {', '.join(manifest.corpora)}" if manifest.text_source == "corpora" else "built-in templates"
    periods = [
        (
            period.file,
            f"{clock.to_text(period.start)[:10]} to {clock.to_text(period.end)[:10]}",
            f"{period.events:,}",
            ", ".join(f"{count:,} {kind}" for kind, count in period.kinds.items()),
        )
        for period in manifest.periods
    ]
    console.print(
        table(f"Events, with text from {source}", ("file", "days", "events", "by kind"), periods, right=("events",))
    )
    harms = [
        (name, f"{harm.violating:,}", f"{harm.not_violating:,}", f"{harm.unknown:,}", f"{harm.decided:,}")
        for name, harm in manifest.harms.items()
    ]
    columns = ("harm", "violating", "not violating", "unlabelled", "reviewed")
    console.print(table("Subjects by true label", columns, harms, right=columns[1:]))


def _existing(folder: Path, config: SimulationConfig, corpora: Path | None) -> SimulationManifest | None:
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
            f"{text!r} is not a timestamp: {error}.", field="--end", remedy="Use RFC 3339, as in 2026-01-31T12:00:00Z."
        ) from error

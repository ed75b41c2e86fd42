"""What the command line shows of registered versions: lists, one version, two compared, the history."""

from __future__ import annotations

from rich.markup import escape

from cli.ui import model_rows
from cli.ui.terminal import console, next_steps, note, table
from features.offline.frames import point_in_time
from leads.db import canary_retreats, model_changes
from leads.db.canary_retreats import Retreat
from leads.db.model_changes import CANARY, CHAMPION, ModelChange
from leads.db.tables import open_engine, reading
from leads.policies import Policies
from leads.settings import Settings
from models import manifest
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import VersionRegistry, versions_cache
from models.text.sentence import place_of
from training.config import SEED, load_config
from training.data import dataset
from training.data.dataset import Dataset
from training.gate.gate import GateReport
from training.gate.side_by_side import compare
from training.lifecycle.candidates import HarmVersions

_LISTED = ("harm", "version", "state", "registered (UTC)", "age", "AP", "Brier", "ECE", "promoted by")
_CHECKED = ("check", "found", "needed", "verdict", "")
_CHANGED = ("at (UTC)", "version", "what", "before", "by", "why")


def list_on_screen(settings: Settings, policies: Policies) -> None:
    """Every harm's versions, the newest first."""
    registry, retreats = MlflowRegistry(settings), _retreats(settings)
    rows, notes = [], []
    for harm in policies.harms:
        aliases, changes = registry.aliases(harm), _history(settings, harm)
        gone = retreats.get((harm, aliases.get(CANARY, "")))
        for version in registry.versions(harm):
            retreat = gone if gone and gone.version == version.version else None
            rows.append((harm, *model_rows.listed(version, aliases, changes, retreat)))
        if gone:
            notes.append(f"The canary of {harm}, version {gone.version}, retreated {model_rows.retreated(gone)}")
    if not rows:
        note("No version is registered yet.")
        next_steps(("leads train --all", "train one per harm"))
        return
    console.print(table("Registered versions", _LISTED, rows, right=_LISTED[4:8]))
    for one in notes:
        note(f"[yellow]{escape(one)}[/yellow]")
    next_steps(
        ("leads models show HARM", "everything known about a version"),
        ("leads models promote HARM VERSION", "let another answer, if the gate passes it"),
        ("leads serve", "the champions answer"),
    )


def show_on_screen(settings: Settings, policies: Policies, harm: str, number: str | None) -> None:
    """One version: how it came to be, what was measured, its tiers, what the gate said, its files."""
    policies.harm(harm, field="HARM")
    registry = MlflowRegistry(settings)
    aliases = registry.aliases(harm)
    known = registry.versions(harm)
    number = number or aliases.get(CHAMPION) or (known[0].version if known else "1")
    versions = _versions(settings, registry, harm)
    found, version = registry.version(harm, number), versions.load(number, versions_cache(settings, harm))
    changes = [change for change in _history(settings, harm) if change.version == number]
    retreat = _retreats(settings).get((harm, number))
    about = model_rows.about(found, version, aliases, changes, retreat)
    console.print(table(f"{harm} version {number}", ("", ""), about))
    console.print(
        table("Measured when it was trained", ("measure", "value"), model_rows.metrics(version), right=("value",))
    )
    tiers = {"review": version.thresholds.review, "auto": version.thresholds.auto}
    console.print(
        table(
            "Tiers",
            ("tier", "from score", "why"),
            [
                (tier, "–" if start is None else f"{start:.3f}", escape(version.thresholds.why.get(tier, "–")))
                for tier, start in tiers.items()
            ],
        )
    )
    kept = next((change.gate for change in reversed(changes) if change.gate), None)
    if kept:
        gate_on_screen(GateReport.from_json(kept))
    else:
        note("The gate was not asked about it.")
    sizes = [(path.name, f"{path.stat().st_size:,}") for path in sorted(version.folder.iterdir())]
    console.print(table("Files", ("file", "bytes"), sizes, right=("bytes",)))
    next_steps(
        (f"less {version.folder / manifest.CARD}", "its model card"),
        (f"leads models history {harm}", "who changed what"),
        (f"leads models compare {harm} {number} OTHER", "beside another version, on the same rows"),
    )


def compare_on_screen(settings: Settings, policies: Policies, harm: str, old: str, new: str) -> None:
    """Two versions on the harm's held-out rows, now.

    Raises:
        NotFound, NotEnoughData, ModelRefused: as `side_by_side.compare` and `dataset.assemble`.
    """
    policies.harm(harm, field="HARM")
    known = _versions(settings, MlflowRegistry(settings), harm)
    both = (known.load(old, versions_cache(settings, harm)), known.load(new, versions_cache(settings, harm)))
    with console.status("measuring both"):
        found = compare(*both, assembled(settings, policies, harm), seed=SEED)
    columns = ("", f"version {old}", f"version {new}", "difference")
    title = f"{harm}: {found.rows:,} held-out rows, {found.positives:,} violating; 95% intervals over resamples"
    console.print(table(title, columns, model_rows.compared(found, both), right=columns[1:]))
    note("[dim]Less is better but for average precision and precision; both learned from other rows than these.[/dim]")
    next_steps(
        (f"leads models promote {harm} {new}", "let it answer, if the gate passes it"),
        (f"leads models show {harm} {new}", "everything known about it"),
    )


def history_on_screen(settings: Settings, policies: Policies, harm: str) -> None:
    """Who changed which version, when and why."""
    policies.harm(harm, field="HARM")
    changes = _history(settings, harm)
    if not changes:
        note(f"Nothing has been kept about versions of {harm} yet.")
        next_steps((f"leads train {harm}", "train a version"))
        return
    console.print(table(f"Changes to versions of {harm}", _CHANGED, [model_rows.changed(change) for change in changes]))
    next_steps(
        (f"leads models rollback {harm}", "let the champion before answer again"),
        (f"leads models show {harm} VERSION", "what the gate said of a version"),
    )


def gate_on_screen(report: GateReport) -> None:
    """The gate's checks as a table."""
    against = f"Compared with version {report.champion}." if report.champion else report.why_no_champion
    verdicts = {True: "[green]pass[/green]", False: "[red]fail[/red]"}
    rows = [
        (check.name, escape(check.found), escape(check.needed), verdicts[check.passed], escape(check.why))
        for check in report.checks
    ]
    title = f"The gate on version {report.candidate}, {report.rows:,} held-out rows. {against}"
    console.print(table(escape(title), _CHECKED, rows))


def assembled(settings: Settings, policies: Policies, harm: str) -> Dataset:
    """The harm's rows as they are now. Raises NotEnoughData and NotFound as `dataset.assemble`."""
    engine = open_engine(settings)
    try:
        config, policy = load_config(settings, harm), policies.harm(harm)
        return dataset.assemble(settings, engine, harm, policy, config=config, frame=point_in_time, seed=SEED)
    finally:
        engine.dispose()


def _versions(settings: Settings, registry: VersionRegistry, harm: str) -> HarmVersions:
    return HarmVersions(registry, harm, place_of(settings))


def _retreats(settings: Settings) -> dict[tuple[str, str], Retreat]:
    engine = open_engine(settings)
    try:
        with reading(engine) as connection:
            return canary_retreats.standing(connection)
    finally:
        engine.dispose()


def _history(settings: Settings, harm: str) -> list[ModelChange]:
    engine = open_engine(settings)
    try:
        with reading(engine) as connection:
            return model_changes.history(connection, harm)
    finally:
        engine.dispose()

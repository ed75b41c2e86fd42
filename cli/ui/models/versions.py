"""Registered versions: list, show one, compare two, the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cli.ui.database import opened
from cli.ui.models import figures, rows
from cli.ui.models.gate import print_gate
from cli.ui.terminal import console, escape, next_steps, note, table
from features.declared.feature_set import FeatureSet
from features.declared.generations import live_features
from features.offline.frames import point_in_time
from leads.db import canary_retreats, model_changes
from leads.db.canary_retreats import Retreat
from leads.db.engine import has_tables, reading
from leads.db.model_changes import CANARY, CHAMPION, ModelChange, champions, moved_outside
from leads.errors import ModelRefused
from leads.policies import Policies
from leads.settings import Settings
from models import manifest
from models.registry.encoders import EncoderRegistry
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import GATE, RETIRED, Registered, VersionRegistry, versions_cache
from models.text.sentence import place_of
from models.version import ModelVersion
from training.config import SEED, load_config
from training.data import dataset
from training.data.dataset import Dataset
from training.gate.gate import GateReport
from training.gate.side_by_side import AP, compare
from training.lifecycle.candidates import HarmVersions
from training.lifecycle.pages import BLOCKED
from training.report.measure import metrics_of

_LISTED = ("harm,\nversion", "state", "registered\n(UTC)", "distinct", "AP", "Brier", "ECE", "promoted\nby")
_LISTED_CAPTION = (
    "Distinct: distinct held-out rows that the version was measured on when it was made. AP: average precision; ECE: "
    "calibration error; with 95% intervals. Versions made at different times were measured on different rows."
)
_ROWS = ("rows used for", "rows", "distinct", "violating", "distinct violating")
_CHANGES = ("at (UTC)", "version", "change", "replaced", "by", "why")


def show_versions(settings: Settings, policies: Policies, harm: str | None = None) -> None:
    """List the versions of a harm, or of every harm, newest first.

    Raises:
        NotFound: an unknown harm.
    """
    harms = list(policies.harms)
    if harm is not None:
        policies.harm(harm, field="HARM")
        harms = [harm]
    registry, retreats = MlflowRegistry(settings), _retreats(settings)
    listed, notes = [], []
    for each in harms if registry.exists() else ():
        aliases, changes = registry.aliases(each), _history(settings, each)
        gone = retreats.get((each, aliases.get(CANARY, "")))
        for version in registry.versions(each):
            retreat = gone if gone and gone.version == version.version else None
            listed.append(rows.listed(each, version, aliases, changes, retreat))
        outside = moved_outside(each, changes, aliases.get(CHAMPION))
        notes += [outside] if outside else []
        if gone:
            notes.append(f"The canary of {each}, v{gone.version}, retreated {rows.retreated(gone)}")
    if not listed:
        note(f"No version of {harm} is registered yet." if harm else "No version is registered yet.")
        next_steps(
            (f"leads train {harm}", "train a version")
            if harm
            else ("leads train --all", "train a version for each harm that has labels"),
            ("leads train HARM --csv FILE --text COLUMN --label COLUMN", "train on labels of your own"),
        )
        return
    console.print(table("Registered versions", _LISTED, listed, right=_LISTED[3:7], caption=_LISTED_CAPTION))
    for one in notes:
        note(f"[yellow]{escape(one)}[/yellow]")
    next_steps(
        ("leads models show HARM", "see everything about a version"),
        ("leads models promote HARM VERSION", "make a version the champion, if it passes the gate"),
        ("leads serve", "serve the champions"),
        settings=settings,
    )


def show_version(settings: Settings, policies: Policies, harm: str, number: str | None) -> None:
    """Show one version: its history, metrics, tiers, gate checks and files.

    Raises:
        NotFound: an unknown harm or version.
        ModelRefused: its files are damaged.
    """
    policies.harm(harm, field="HARM")
    registry, retreats, history = MlflowRegistry(settings), _retreats(settings), _history(settings, harm)
    aliases = registry.aliases(harm)
    found, version, features = opened_version(settings, harm, number)
    number = found.version
    changes = [change for change in history if change.version == number]
    encoders = {one.id: one.version for one in EncoderRegistry(settings).list()}
    about = rows.about(found, version, aliases, changes, retreats.get((harm, number)), features, encoders)
    console.print(table(f"{harm} v{number}", ("property", "value"), about))
    _print_metrics(version)
    console.print(table("Tiers", ("tier", "from score", "why"), rows.tiers(version), right=("from score",)))
    report = next((change.gate for change in reversed(changes) if change.gate), None)
    if report:
        print_gate(GateReport.from_json(report))
    else:
        note("It was never checked by the gate.\n")
    console.print(table("Files", ("file", "bytes"), rows.files(version), right=("bytes",)))
    next_steps(
        (f"less {version.folder / manifest.CARD}", "read its model card"),
        (f"leads models history {harm}", "see who changed what"),
        *(
            [(f"leads models behaviour {harm} {number}", "see which checks of its suite fail")]
            if version.uses_text
            else ()
        ),
        *_comparisons(registry, harm, number),
    )


class OpenedVersion(NamedTuple):
    """A version in the registry, the same loaded, and the features that are live."""

    registered: Registered
    version: ModelVersion
    features: FeatureSet


def opened_version(settings: Settings, harm: str, number: str | None) -> OpenedVersion:
    """A harm's version, by default the champion.

    Raises:
        NotFound: an unknown version.
        ModelRefused: its files are damaged.
    """
    registry = MlflowRegistry(settings)
    number = number or _default(registry, registry.aliases(harm), harm)
    found = registry.version(harm, number)
    versions = _versions(settings, registry, harm)
    return OpenedVersion(found, versions.load(number, versions_cache(settings, harm)), versions.features)


def _comparisons(registry: VersionRegistry, harm: str, number: str) -> list[tuple[str, str]]:
    """The step that compares a version with another one; none if it is the only one."""
    if len(registry.versions(harm)) == 1:
        return []
    return [(f"leads models compare {harm} {number} OTHER", "compare it with another version on the same rows")]


def _print_metrics(version: ModelVersion) -> None:
    try:
        found = metrics_of(version)
    except ModelRefused:
        note("\nIts metrics were written by an earlier release. Train again to see them.")
        return
    title = f"Rows, {found.rows:,} in all: {found.positives:,} violating"
    console.print(table(title, _ROWS, figures.row_counts(found), right=_ROWS[1:]))
    title = f"Measured when it was made, on {found.test.evidence.text()}"
    columns = ("metric", "value (95% interval)")
    console.print(table(title, columns, figures.metrics(found)))


def show_comparison(settings: Settings, policies: Policies, harm: str, old: str, new: str) -> None:
    """Compare two versions on the harm's held-out rows.

    Raises:
        NotFound, NotEnoughData, ModelRefused: as `side_by_side.compare` and `dataset.assemble`.
    """
    policies.harm(harm, field="HARM")
    registry = MlflowRegistry(settings)
    known = _versions(settings, registry, harm)
    both = (known.load(old, versions_cache(settings, harm)), known.load(new, versions_cache(settings, harm)))
    with console.status("measuring both versions"):
        found = compare(*both, assemble_dataset(settings, policies, harm), seed=SEED)
    columns = ("measure", f"v{old}", f"v{new}", "difference")
    title = f"{harm}: v{old} and v{new} on {found.evidence.text()}"
    caption = (
        "With 95% intervals. Higher is better for average precision, precision and recall; lower for the Brier score, "
        "the calibration error, time and size. "
        f"{escape(found.overlap.text())}"
    )
    if found.evidence.missing:
        note(f"[yellow]Scores are not measured:[/yellow] {escape(found.evidence.missing)}")
    console.print(table(title, columns, figures.compared(found, both), right=columns[1:], caption=caption))
    steps = [(f"leads models show {harm} {new}", "see everything about it")]
    tags = registry.tags_of(harm, new)
    blocked = RETIRED in tags or tags.get(GATE, "").startswith(BLOCKED)
    is_worse = any(one.difference.high < 0 for one in found.measures if one.name == AP and one.difference)
    if not (blocked or is_worse) and registry.aliases(harm).get(CHAMPION) != new:
        steps.insert(0, (f"leads models promote {harm} {new}", "make it the champion, if it passes the gate"))
    next_steps(*steps)


def show_history(settings: Settings, policies: Policies, harm: str) -> None:
    """Show who changed which version, when and why.

    Raises:
        NotFound: an unknown harm.
    """
    policies.harm(harm, field="HARM")
    changes, registry = _history(settings, harm), MlflowRegistry(settings)
    champion = registry.aliases(harm).get(CHAMPION) if registry.exists() else None
    outside = moved_outside(harm, changes, champion)
    if outside:
        note(f"[yellow]{escape(outside)}[/yellow]")
    if not changes:
        note(f"There are no changes to versions of {harm} yet.")
        next_steps((f"leads train {harm}", "train a version"))
        return
    console.print(table(f"Changes to versions of {harm}", _CHANGES, [rows.changed(change) for change in changes]))
    next_steps(
        *rollbacks(harm, changes, champion),
        (f"leads models show {harm} VERSION", "see what the gate found about a version"),
    )


def assemble_dataset(settings: Settings, policies: Policies, harm: str) -> Dataset:
    """The harm's labelled rows as they are now. Raises NotEnoughData and NotFound as `dataset.assemble`."""
    config, policy = load_config(settings, harm), policies.harm(harm)
    with opened(settings) as engine:
        return dataset.assemble(settings, engine, harm, policy, config=config, frame=point_in_time, seed=SEED)


def rollbacks(
    harm: str, changes: Sequence[ModelChange], champion: str | None, what: str = "roll back to the previous champion"
) -> list[tuple[str, str]]:
    """The step that rolls back; none if no earlier champion is left."""
    earlier = any(version != champion for version in champions(changes, champion))
    return [(f"leads models rollback {harm}", what)] if earlier else []


def _default(registry: VersionRegistry, aliases: Mapping[str, str], harm: str) -> str:
    """The champion, else the newest version."""
    known = registry.versions(harm)
    return aliases.get(CHAMPION) or (known[0].version if known else "1")


def _versions(settings: Settings, registry: VersionRegistry, harm: str) -> HarmVersions:
    return HarmVersions(registry, harm, place_of(settings), live_features(settings))


def _retreats(settings: Settings) -> dict[tuple[str, str], Retreat]:
    if not has_tables(settings):
        return {}
    with opened(settings, create=False) as engine, reading(engine) as connection:
        return canary_retreats.standing(connection)


def _history(settings: Settings, harm: str) -> list[ModelChange]:
    if not has_tables(settings):
        return []
    with opened(settings, create=False) as engine, reading(engine) as connection:
        return model_changes.history(connection, harm)

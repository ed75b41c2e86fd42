"""A version's details as rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from rich.markup import escape

from cli.ui.terminal import minute
from leads import clock
from leads.db.canary_retreats import Retreat
from leads.db.model_changes import CANARY, ModelChange
from models import manifest
from models.registry.versions import RETIRED, Registered
from models.version import ModelVersion
from training.gate.side_by_side import Comparison
from training.report.paired import Interval

TableRows = list[tuple[str, ...]]
_ACTIONS = {
    "registered": "registered",
    "promoted": "promoted",
    "challenging": "made challenger",
    "rolled_back": "rolled back to",
    "retired": "retired",
    "canary": "made canary",
    "canary_stopped": "canary stopped",
}


def state(version: Registered, aliases: Mapping[str, str], retreat: Retreat | None = None) -> str:
    """Its aliases, else `retired`, else a dash."""
    gone = {CANARY: " (retreated)"} if retreat else {}
    own = [f"{alias}{gone.get(alias, '')}" for alias, number in aliases.items() if number == version.version]
    return ", ".join(own) or ("retired" if RETIRED in version.tags else "–")


def listed(
    version: Registered, aliases: Mapping[str, str], changes: Sequence[ModelChange], retreat: Retreat | None
) -> tuple[str, ...]:
    """Version, state, registered at, age, AP, Brier, ECE, and who promoted it last."""
    promoted = [change for change in changes if change.version == version.version and change.action == "promoted"]
    by = next((change.actor for change in reversed(promoted) if change.state == "done"), "–")
    at = version.created_at_ms * 1_000
    measured = (version.metrics.get(name) for name in ("ap", "brier", "ece"))
    return (
        f"v{version.version}",
        state(version, aliases, retreat),
        minute(at),
        age(clock.now() - at),
        *("–" if value is None else f"{value:.3f}" for value in measured),
        escape(by),
    )


def about(
    found: Registered,
    version: ModelVersion,
    aliases: Mapping[str, str],
    changes: Sequence[ModelChange],
    retreat: Retreat | None,
) -> TableRows:
    """Where it comes from, and what happened to it."""
    tags = found.tags
    until = int(tags.get("leads.labels_until", "0"))
    rows = [
        ("state", state(found, aliases, retreat)),
        ("registered", f"{minute(found.created_at_ms * 1_000)} UTC"),
        ("contract", f"{version.contract.hash}, {len(version.contract.columns)} columns"),
        ("data fingerprint", tags.get("leads.data", "–")[:12]),
        ("newest decision", f"{minute(until)} UTC" if until else "no decisions among its labels"),
        ("MLflow run", found.run_id),
    ]
    if retreat:
        rows.append(("retreated", escape(retreated(retreat))))
    if RETIRED in tags:
        rows.append(("retired", escape(tags[RETIRED])))
    history = [f"{minute(c.at)} {_ACTIONS[c.action]} by {c.actor}: {c.why}" for c in changes if c.state == "done"]
    return [*rows, *((("history" if i == 0 else ""), escape(one)) for i, one in enumerate(history))]


def retreated(retreat: Retreat) -> str:
    """When a canary retreated, where, and why."""
    return f"{minute(retreat.at)} UTC on {retreat.host}: {retreat.why}"


def metrics(version: ModelVersion) -> TableRows:
    """The numbers in `metrics.json`, with their intervals where they have one."""
    found = msgspec.json.decode(manifest.read_file(version.folder, manifest.METRICS))
    return [(name.replace("_", " "), value) for name, value in _flat("", found)]


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Leaves by path. Two numbers are an interval; longer lists are left out."""
    match value:
        case {"found": float(mid), "low": float(low), "high": float(high)}:
            yield name, Interval(mid, low, high).text()
        case dict():
            for key, inner in value.items():
                # Metrics on held-out rows go by their own name; these two exist for all rows as well.
                own = f"held-out {key}" if name == "test" and key in ("rows", "positives") else str(key)
                yield from _flat(own if name in ("", "test") else f"{name} {key}", inner)
        case bool() | None:
            return
        case int():
            yield name, f"{value:,}"
        case float():
            yield name, f"{value:.4f}"
        case [int() | float() as low, int() | float() as high]:
            yield name, f"{low:.3f} to {high:.3f}"


def tiers(version: ModelVersion) -> TableRows:
    """Tier, the score it starts at, why."""
    starts = {"review": version.thresholds.review, "auto": version.thresholds.auto}
    why = version.thresholds.why
    return [
        (tier, "–" if start is None else f"{start:.3f}", escape(why.get(tier, "–"))) for tier, start in starts.items()
    ]


def files(version: ModelVersion) -> TableRows:
    """Name and size of its files."""
    return [(path.name, f"{path.stat().st_size:,}") for path in sorted(version.folder.iterdir())]


def compared(found: Comparison, versions: tuple[ModelVersion, ModelVersion]) -> TableRows:
    """Measure, old, new, difference."""
    rows: TableRows = [
        (one.name, one.old.text(), one.new.text(), one.difference.text(signed=True)) for one in found.measures
    ]
    for tier in ("review", "auto"):
        both = [next((t for t in of.tiers if t.tier == tier), None) for of in found.tiers]
        shown = [
            "no tier" if t is None else "no rows" if t.precision is None else f"{t.precision:.3f} of {t.rows:,} rows"
            for t in both
        ]
        rows.append((f"precision of {tier}", *shown, ""))
    old, new = found.milliseconds
    rows.append(("time per row, ms", f"{old:.2f}", f"{new:.2f}", f"{new - old:+.2f}"))
    sizes = [size(version.folder) for version in versions]
    rows.append(("size, MB", *(f"{one / 1e6:.1f}" for one in sizes), f"{(sizes[1] - sizes[0]) / 1e6:+.1f}"))
    return rows


def changed(change: ModelChange) -> tuple[str, ...]:
    """At, version, change, the version it replaced, by whom, why."""
    what = _ACTIONS[change.action]
    if change.overridden:
        what += " (gate overridden)"
    if change.state != "done":
        what += " (unfinished)" if change.state == "pending" else " (cancelled)"
    replaced = f"v{change.replaced}" if change.replaced else "–"
    return (minute(change.at), f"v{change.version}", what, replaced, escape(change.actor), escape(change.why))


def size(folder: Path) -> int:
    """Bytes of a version's files."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def age(micros: clock.Micros) -> str:
    """
    >>> age(3 * clock.DAY), age(90 * clock.MINUTE), age(0)
    ('3 d', '1 h', '0 min')
    """
    if micros >= clock.DAY:
        return f"{micros // clock.DAY} d"
    return f"{micros // clock.HOUR} h" if micros >= clock.HOUR else f"{max(micros, 0) // clock.MINUTE} min"

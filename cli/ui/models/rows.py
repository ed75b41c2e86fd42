"""A version's details as rows of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cli.ui.models.figures import TableRows, on_two_lines
from cli.ui.terminal import age, escape, minute
from features.declared.feature_set import FeatureSet
from features.evaluate.columns import unsatisfied
from leads import clock
from leads.db.canary_retreats import Retreat
from leads.db.model_changes import CANARY, ModelChange
from models import languages
from models.registry.versions import GIT_COMMIT, RELEASE, RETIRED, TRAINED_BY, Registered
from models.version import ModelVersion
from training.report.paired import Interval

_ACTIONS = {
    "registered": "registered",
    "promoted": "promoted",
    "challenging": "made challenger",
    "rolled_back": "rolled back to",
    "retired": "retired",
    "canary": "made canary",
    "canary_stopped": "canary stopped",
}
# Versions made by earlier releases lack these tags.
_ORIGIN = (("trained by", TRAINED_BY), ("release", RELEASE), ("git commit", GIT_COMMIT))


def state(version: Registered, aliases: Mapping[str, str], retreat: Retreat | None = None) -> str:
    """Its aliases, else `retired`, else a dash."""
    gone = {CANARY: " (retreated)"} if retreat else {}
    own = [f"{alias}{gone.get(alias, '')}" for alias, number in aliases.items() if number == version.version]
    return ", ".join(own) or ("retired" if RETIRED in version.tags else "–")


def listed(
    harm: str, version: Registered, aliases: Mapping[str, str], changes: Sequence[ModelChange], retreat: Retreat | None
) -> tuple[str, ...]:
    """Harm and version, state, when registered, distinct held-out rows, AP, Brier, ECE, and who promoted it last."""
    promoted = [change for change in changes if change.version == version.version and change.action == "promoted"]
    by = next((change.actor for change in reversed(promoted) if change.state == "done"), "–")
    at = version.created_at_ms * 1_000
    distinct = version.metrics.get("test_distinct")
    return (
        f"{harm}\nv{version.version}",
        state(version, aliases, retreat),
        f"{minute(at)[:10]}\n{age(clock.now() - at)} ago",
        "–" if distinct is None else f"{distinct:,.0f}",
        *(_registered(version.metrics, name) for name in ("ap", "brier", "ece")),
        escape(by),
    )


def about(
    found: Registered,
    version: ModelVersion,
    aliases: Mapping[str, str],
    changes: Sequence[ModelChange],
    retreat: Retreat | None,
    features: FeatureSet,
    encoders: Mapping[str, str],
) -> TableRows:
    """Where it comes from, the declared features it takes, and what happened to it.

    Args:
        encoders: the numbers of registered encoders by their names.
    """
    tags = found.tags
    counts = languages.read(version.folder)
    until = int(tags.get("leads.labels_until", "0"))
    rows = [
        ("state", state(found, aliases, retreat)),
        ("registered", f"{minute(found.created_at_ms * 1_000)} UTC"),
        *((name, escape(tags[tag])) for name, tag in _ORIGIN if tag in tags),
        *_encoder(version, encoders),
        ("contract", f"{version.contract.hash}, {len(version.contract.columns)} columns"),
        *_declared(version, features),
        ("languages", "not recorded" if counts is None else languages.summary(counts)),
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


def _encoder(version: ModelVersion, encoders: Mapping[str, str]) -> TableRows:
    """The encoder that its texts are encoded with; nothing for a version that doesn't use text."""
    if version.text_stage is None:
        return []
    head = version.text_stage.sentence
    if head is None:
        return [("sentence encoder", "none, only n-grams")]
    number = encoders.get(head.encoder)
    return [("sentence encoder", f"v{number} ({head.encoder})" if number else head.encoder)]


def _declared(version: ModelVersion, features: FeatureSet) -> TableRows:
    """The features it takes that platform.yaml declares, and why it can't serve if they have changed."""
    rows: TableRows = []
    for name in (column.name for column in version.contract.columns if column.definition):
        live = features.by_name.get(name)
        about = f"{name}: {live.meaning} ({live.unit})" if live else f"{name}: no longer declared"
        rows.append(("" if rows else "declared features", escape(about)))
    why = unsatisfied(version.contract, features)
    return [*rows, ("can't serve", escape(why))] if why else rows


def retreated(retreat: Retreat) -> str:
    """When a canary retreated, where, and why."""
    return f"{minute(retreat.at)} UTC on {retreat.host}: {retreat.why}"


def _registered(metrics: Mapping[str, float], name: str) -> str:
    """A figure in the registry, with its interval on a second line if it was recorded."""
    found, low, high = (metrics.get(f"{name}{end}") for end in ("", "_low", "_high"))
    if found is None:
        return "not measured" if "test_distinct" in metrics else "–"
    return f"{found:.3f}" if low is None or high is None else on_two_lines(Interval(found, low, high))


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


def changed(change: ModelChange) -> tuple[str, ...]:
    """At, version, change, the version it replaced, by whom, why."""
    what = _ACTIONS[change.action]
    if change.overridden:
        what += " (gate overridden)"
    if change.state != "done":
        what += " (unfinished)" if change.state == "pending" else " (cancelled)"
    replaced = f"v{change.replaced}" if change.replaced else "–"
    return (minute(change.at), f"v{change.version}", what, replaced, escape(change.actor), escape(change.why))

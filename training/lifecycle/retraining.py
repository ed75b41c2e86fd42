"""Decides whether a harm is due for retraining: enough labels are new, or its champion's inputs have drifted."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads import clock
from leads.db.engine import reading
from leads.db.model_changes import CHAMPION
from leads.db.monitoring import verdicts
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.registry.versions import LABELS_UNTIL, Registered, VersionRegistry
from training.data.history import History
from training.data.observations import observations


class Due(NamedTuple):
    """Whether a harm is due for retraining.

    Args:
        new_labels: decisions and imported labels that are newer than the newest version.
        drifted: whether the newest scheduled verdict says that the champion has drifted.
        why: the reason, in one sentence.
    """

    is_due: bool
    new_labels: int
    drifted: bool
    why: str


def due(
    settings: Settings,
    engine: Engine,
    registry: VersionRegistry,
    harm: str,
    policy: HarmPolicy,
    history: History | None = None,
) -> Due:
    """Check whether a harm is due for retraining. A harm without a version always is.

    Args:
        history: reads the event log once for several harms; None: for this one.

    Raises:
        Unavailable: MLflow or the database can't be reached.
    """
    known = registry.versions(harm)
    if not known:
        return Due(True, 0, False, "It has no version yet.")
    newest, rule = known[0], policy.retrain
    fresh = _new_decisions(engine, harm, history or History(settings, {harm: policy}), newest) + _newly_imported(
        settings, harm, newest
    )
    champion = registry.aliases(harm).get(CHAMPION)
    drifted = False
    if champion is not None and rule.on_drift:
        with reading(engine) as connection:
            verdict = verdicts.newest(connection, harm, champion, clock.now())
        drifted = verdict is not None and verdict.value == 1.0
    new = "1 label is" if fresh == 1 else f"{fresh:,} labels are"
    why = f"{new} new since version {newest.version}; retraining is due at {rule.new_labels:,}"
    if drifted:
        why += f"; the inputs of version {champion} have drifted"
    enough = fresh >= rule.new_labels or (drifted and fresh > 0)
    if drifted and not fresh:
        why += ", but retraining needs new labels"
    return Due(enough, fresh, drifted, why + ".")


def _new_decisions(engine: Engine, harm: str, history: History, newest: Registered) -> int:
    until = int(newest.tags.get(LABELS_UNTIL, "0"))
    return sum(label.at > until for label in history.decided(engine, harm))


def _newly_imported(settings: Settings, harm: str, newest: Registered) -> int:
    """Texts of imported files whose label was first imported since. Texts that were known with it aren't new."""
    return sum(since // 1_000 > newest.created_at_ms for since in observations(settings, harm).since)

"""Decides whether a harm is due for retraining: enough labels are new, its champion's inputs have drifted, or another
encoder was promoted."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.model_changes import CHAMPION
from leads.db.monitoring import verdicts
from leads.policies import HarmPolicy
from leads.settings import Settings
from models.registry.encoders import NEEDED, RegisteredEncoder
from models.registry.versions import LABELS_UNTIL, Registered, VersionRegistry
from training.config import load_config
from training.data.history import History
from training.data.observations import observations
from training.fit.training_set import encoder_wanted


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
    *,
    encoder: RegisteredEncoder | None = None,
    refreshed: bool = False,
) -> Due:
    """Check whether a harm is due for retraining. A harm without a version always is.

    Args:
        history: reads the event log once for several harms; None: for this one.
        encoder: the promoted one, if the harm is due until it was trained with it.
        refreshed: another encoder will be promoted before, which the harm follows.

    Raises:
        Unavailable: MLflow or the database can't be reached.
    """
    known = registry.versions(harm)
    if not known:
        return Due(True, 0, False, "It has no version yet.")
    newest, rule = known[0], policy.retrain
    fresh = new_labels(
        settings,
        engine,
        harm,
        history or History(settings, {harm: policy}),
        decided=int(newest.tags.get(LABELS_UNTIL, "0")),
        imported=newest.created_at_ms * 1_000 + 999,
    )
    champion = registry.aliases(harm).get(CHAMPION)
    drifted = rule.on_drift and drifted_at(engine, harm, champion) is not None
    why = f"{are_new(fresh)} since version {newest.version}; retraining is due at {rule.new_labels:,}"
    if drifted:
        why += f"; the inputs of version {champion} have drifted"
    enough = fresh >= rule.new_labels or (drifted and fresh > 0)
    if drifted and not fresh:
        why += ", but retraining needs new labels"
    if encoder is not None and _wants_encoder(settings, policy, harm):
        if refreshed:
            return Due(True, fresh, drifted, f"it follows the encoder, which is refreshed first; {why}.")
        if _is_behind(newest, encoder):
            return Due(True, fresh, drifted, f"encoder v{encoder.version} was promoted since; {why}.")
    return Due(enough, fresh, drifted, why + ".")


def new_labels(
    settings: Settings, engine: Engine, harm: str, history: History, *, decided: Micros, imported: Micros
) -> int:
    """How many decisions became visible after `decided`, and labels of texts were imported after `imported`.

    Texts that had been imported with their label before aren't new.
    """
    decisions = sum(label.at > decided for label in history.decided(engine, harm))
    return decisions + sum(since > imported for since in observations(settings, harm).since)


def drifted_at(engine: Engine, harm: str, champion: str | None) -> Micros | None:
    """The end of the window in which the champion drifted, by its newest scheduled verdict, µs; None if it hasn't."""
    if champion is None:
        return None
    with reading(engine) as connection:
        verdict = verdicts.newest(connection, harm, champion, clock.now())
    return verdict.until if verdict is not None and verdict.value == 1.0 else None


def are_new(labels: int) -> str:
    """
    >>> are_new(1), are_new(1_200)
    ('1 label is new', '1,200 labels are new')
    """
    return "1 label is new" if labels == 1 else f"{labels:,} labels are new"


def _wants_encoder(settings: Settings, policy: HarmPolicy, harm: str) -> bool:
    """Whether the harm is to be trained with the promoted encoder."""
    return encoder_wanted(settings, policy, load_config(settings, harm)) in ("auto", "tuned")


def _is_behind(newest: Registered, encoder: RegisteredEncoder) -> bool:
    """Whether a harm's newest version was trained with another encoder, before this one's promotion.

    A rollback is no promotion, so harms don't go back with the encoder.
    """
    return encoder.promoted_at > newest.created_at_ms * 1_000 and newest.tags.get(NEEDED) != encoder.id

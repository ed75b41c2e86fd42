"""`leads retrain` fine-tunes the promoted encoder again when the policies say so, and a label is new since then.

What is done about it is in the registry alone, so a run that is killed is repeated by the next one: until a newer
encoder is promoted, the refresh stays due, and until a harm was trained with it, so does the harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy.engine import Engine

from leads import clock
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.model_changes import CHAMPION
from leads.db.monitoring import alerts
from leads.policies import Policies
from leads.settings import Settings
from models.registry.encoders import EncoderRegistry, RegisteredEncoder
from models.registry.versions import VersionRegistry
from training.data.history import History
from training.encoder.train import EncoderResult, train_encoder
from training.lifecycle.retraining import are_new, drifted_at, new_labels
from training.progress import OnProgress


class RefreshDue(NamedTuple):
    """Whether the encoder is due for a refresh, and why, in one sentence."""

    is_due: bool
    why: str


def refresh_due(
    settings: Settings,
    policies: Policies,
    engine: Engine,
    registry: VersionRegistry,
    encoders: Sequence[RegisteredEncoder],
    *,
    alert: int | None = None,
) -> RefreshDue:
    """Check whether an encoder has to be fine-tuned again.

    Args:
        encoders: all of them, newest first.
        alert: the number of the alert that started the retraining; it counts as drift.

    Raises:
        Unavailable: MLflow or the database can't be reached.
    """
    rule = policies.encoder.refresh
    if rule is None:
        return RefreshDue(False, "The policies don't say when the encoder is refreshed.")
    if not any(one.promoted for one in encoders):
        return RefreshDue(False, "No encoder is promoted, so none is refreshed.")
    # One that was never promoted is of a refresh that was killed before, or was made to be looked at.
    last = next(one for one in encoders if one.promoted_at or one.promoted)
    reading_texts = {harm: policy for harm, policy in policies.harms.items() if policy.text}
    history = History(settings, reading_texts)
    fresh = sum(
        new_labels(settings, engine, harm, history, decided=last.began, imported=last.began) for harm in reading_texts
    )
    drift = _drift(engine, registry, reading_texts, last.began, alert) if rule.on_drift else []
    limits = [] if rule.new_labels is None else [f"at {rule.new_labels:,}"]
    limits += [] if rule.every is None else [f"on {_day(last.began + rule.every)}"]
    limits += ["on drift"] if rule.on_drift else []
    why = f"{are_new(fresh)} since encoder v{last.version} was trained on {_day(last.began)}"
    why += f"; a refresh is due {' or '.join(limits)}" if limits else ""
    why = "; ".join((why, *drift))
    reached = bool(
        drift
        or (rule.new_labels is not None and fresh >= rule.new_labels)
        or (rule.every is not None and clock.now() - last.began >= rule.every)
    )
    if reached and not fresh:
        why += ", but it needs new labels"
    return RefreshDue(reached and fresh > 0, why + ".")


def refresh(
    settings: Settings, policies: Policies, why: str, *, on_progress: OnProgress | None = None
) -> EncoderResult:
    """Fine-tune an encoder on the labels of today and promote it, unless one that is equal was rolled back.

    Raises:
        ConfigurationError, NotEnoughData, Conflict, Unavailable: as `train_encoder`.
    """
    result = train_encoder(settings, policies, on_progress=on_progress)
    if result.encoder.promoted or result.encoder.promoted_at:
        return result
    registry = EncoderRegistry(settings)
    registry.promote(result.encoder.version, f"refreshed: {why}")
    return replace(result, encoder=registry.named(result.encoder.version))


def _drift(
    engine: Engine, registry: VersionRegistry, harms: Iterable[str], since: Micros, alert: int | None
) -> list[str]:
    """What has drifted since then, a part of a sentence each."""
    found = []
    for harm in harms:
        champion = registry.aliases(harm).get(CHAMPION)
        at = drifted_at(engine, harm, champion)
        if at is not None and at > since:
            found.append(f"the inputs of {harm} version {champion} have drifted")
    if alert is not None:
        with reading(engine) as connection:
            opened = alerts.find(connection, alert)
        if opened is not None and opened.opened_at > since:
            found.append(f"alert {alert} has started the retraining")
    return found


def _day(at: Micros) -> str:
    return clock.to_text(at)[:10]

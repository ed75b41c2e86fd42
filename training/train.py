"""The training recipe: assemble the data, fit, build a version, register it, and decide which alias it gets."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from features.offline.frames import point_in_time
from leads import clock
from leads.db.model_changes import CHAMPION, current_actor
from leads.errors import NotEnoughData
from leads.policies import HarmPolicy, Policies
from leads.settings import Settings
from models.registry.versions import FINGERPRINT, LABELS_UNTIL, Registered
from models.text.sentence import CachedEncoder
from models.thresholds import Thresholds
from training.behaviour import run as behaviour
from training.build import Built, FittedModel, build, log_errors_with_texts
from training.config import SEED, TrainingConfig, load_config
from training.data import dataset
from training.data.dataset import Dataset
from training.data.history import History
from training.data.labelled_rows import PLATFORM
from training.fingerprint import fingerprint_of
from training.fit.model import draft
from training.fit.search import Tuned
from training.fit.training_set import (
    choose_thresholds,
    encoder_of,
    fit_training_set,
    fitted_on,
    out_of_fold_text_scores,
    text_counts,
)
from training.gate.gate import GateReport
from training.joining import FrameSource
from training.lifecycle.outcomes import ChangeReason
from training.progress import OnProgress, reporter
from training.report import card, logged
from training.report.measure import Metrics, metrics_of
from training.workspace import Workspace, open_workspace

CONFIG = "config.json"
STEPS = (ASSEMBLE, FIT, BUILD, REGISTER, SETTLE) = (
    "gathering labels and features",
    "fitting",
    "measuring",
    "registering",
    "judging",
)


@dataclass(frozen=True)
class TrainResult:
    """The outcome of a training.

    Args:
        version: its number in the registry.
        alias: the alias it has now; None if it has none.
        why: why it has that alias or none.
        gate: the gate's report; None if the gate wasn't asked.
        reused: a version made from equal data and settings existed, so nothing was fitted.
        metrics: measured on the held-out rows.
        seconds: how long the call took.
    """

    harm: str
    version: str
    alias: str | None
    why: str
    gate: GateReport | None
    reused: bool
    metrics: Metrics
    thresholds: Thresholds
    seconds: float


@dataclass(frozen=True)
class _Plan:
    """How to train, and what to do with the version.

    Args:
        promote: let it become champion if it passes the gate.
        first: the alias of a harm's first version.
        why: kept with the change.
        needs_new_labels: fail if no label is new since the newest version.
        source: the command, for the registry.
        tuned: the search that found the configuration, if there was one.
        with_texts: let the table of the worst errors in the registry contain texts.
    """

    config: TrainingConfig
    promote: bool
    first: str
    why: str
    needs_new_labels: bool
    source: str
    tuned: Tuned | None = None
    with_texts: bool = False


def train(
    settings: Settings,
    policies: Policies,
    harm: str,
    *,
    config: TrainingConfig | None = None,
    tuned: Tuned | None = None,
    first: str = CHAMPION,
    with_texts: bool = False,
    on_progress: OnProgress | None = None,
    frame: FrameSource = point_in_time,
    history: History | None = None,
) -> TrainResult:
    """Train a version of a harm's model from all labels. A version made from equal data and settings is used again.

    A harm's first version becomes champion if it passes the gate; later versions become challenger. Without a champion,
    a version also becomes challenger if it was trained on imported labels, or if an earlier one waits. Training may be
    killed at any moment and run again.

    Args:
        config: default: what the search found, else the harm's file in `LEADS_TRAINING`.
        tuned: a search for a better configuration, which the registry then shows with the version.
        first: alias of a harm's first version: `champion`, or `challenger` to review it before it serves.
        with_texts: let the registry's table of the version's worst errors contain the rows' texts.
        on_progress: called as each step begins.
        frame: how features at given instants are looked up.
        history: reads the event log once for several harms; None: for this one.

    Raises:
        NotFound: the harm doesn't exist, or there are decisions but no features yet.
        NotEnoughData: too few labels; says how many there are and what is missing.
        ConfigurationError: the harm's configuration is invalid, or names an encoder that isn't installed.
        Conflict: another process is training.
        Unavailable: the database or MLflow can't be reached.
    """
    plan = _Plan(
        config or (tuned.config if tuned else load_config(settings, harm)),
        promote=False,
        first=first,
        why="trained",
        needs_new_labels=False,
        source="leads train",
        tuned=tuned,
        with_texts=with_texts,
    )
    return _train(settings, policies, harm, plan, on_progress, frame, history)


def retrain(
    settings: Settings,
    policies: Policies,
    harm: str,
    *,
    promote: bool = True,
    why: str = "retrained with newer labels",
    on_progress: OnProgress | None = None,
    frame: FrameSource = point_in_time,
    history: History | None = None,
) -> TrainResult:
    """Train with the labels that are new since the newest version, and promote the result if it passes the gate.

    Args:
        promote: False makes it challenger without asking the gate.
        why: kept with the change.
        history: as `train`.

    Raises:
        NotEnoughData: also if no label is new.
        NotFound, ConfigurationError, Conflict, Unavailable: as `train`.
    """
    config = load_config(settings, harm)
    plan = _Plan(config, promote, CHAMPION, why, needs_new_labels=True, source="leads retrain")
    return _train(settings, policies, harm, plan, on_progress, frame, history)


def _train(
    settings: Settings,
    policies: Policies,
    harm: str,
    plan: _Plan,
    on_progress: OnProgress | None,
    frame: FrameSource,
    history: History | None,
) -> TrainResult:
    began, started, policy, config = clock.now(), time.monotonic(), policies.harm(harm), plan.config
    tell = reporter(STEPS, on_progress)
    with open_workspace(settings) as space:
        tell(ASSEMBLE)
        data = dataset.assemble(
            settings, space.engine, harm, policy, config=config, frame=frame, seed=SEED, history=history, tell=tell
        )
        known = space.registry.versions(harm)
        encoder = encoder_of(settings, policy, config)
        suite = behaviour.suite_for(settings, data.harm) if policy.text else None
        fingerprint = fingerprint_of(data, policy, config, encoder, suite)
        same = next((each for each in known if each.tags.get(FINGERPRINT) == fingerprint), None)
        if same and plan.needs_new_labels and not _is_unfinished(same, known[0], space.registry.aliases(harm)):
            raise _no_new_labels(harm, known[0], data)

        if same:
            space.registry.end_abandoned_runs(harm, fingerprint)
        run: AbstractContextManager[str | None] = (
            nullcontext() if same else space.run(harm, fingerprint, began=began, source=plan.source)
        )
        with run as run_id:
            if same:
                number, version = same.version, space.fetch(harm, same.version)
                if plan.with_texts:
                    log_errors_with_texts(space, version, number, data)
            else:
                built = _fit(space, policy, data, plan, known, fingerprint, encoder, frame, tell)
                tell(REGISTER)
                number = space.registry.register(harm, built.version, built.run, run_id)
                version = built.version

            tell(SETTLE)
            reason = ChangeReason(current_actor(), plan.why)
            settled = space.lifecycle(harm, policy).settle(
                number, version, data, space.folder, reason, promote=plan.promote, first=plan.first
            )
        return TrainResult(
            harm=harm,
            version=number,
            alias=settled.alias,
            why=settled.why,
            gate=settled.gate,
            reused=same is not None,
            metrics=metrics_of(version),
            thresholds=version.thresholds,
            seconds=time.monotonic() - started,
        )


def _fit(
    space: Workspace,
    policy: HarmPolicy,
    data: Dataset,
    plan: _Plan,
    known: list[Registered],
    fingerprint: str,
    encoder: CachedEncoder | None,
    frame: FrameSource,
    tell: Callable[[str], None],
) -> Built:
    settings, config = space.settings, plan.config
    counts = text_counts(policy, config, data.texts, encoder, tell)
    tell(FIT)
    fitted = fit_training_set(settings, policy, config, data, counts)
    tell(BUILD)
    model = FittedModel(
        version=draft(data.harm, data.contract, fitted, choose_thresholds(policy, data, fitted)),
        provenance=card.provenance(fitted, data.contract.hash, about_groups=config.about_groups),
        fitted_on=fitted_on(data),
        fingerprint=fingerprint,
        learned_text_scores=out_of_fold_text_scores(data, fitted),
        new_labels=_new_labels(data, known),
        params={**logged.parameters(config, plan.tuned), "encoder": encoder.version if encoder else "none"},
        files={CONFIG: config.model_dump_json().encode()},
        curves=logged.curves(fitted, plan.tuned),
    )
    return build(space, policy, data, model, frame=frame, with_texts=plan.with_texts)


def _is_unfinished(same: Registered, newest: Registered, aliases: dict[str, str]) -> bool:
    """Whether a training registered this version and was killed before it gave it an alias."""
    return same == newest and same.version not in aliases.values()


def _new_labels(data: Dataset, known: list[Registered]) -> int | None:
    """The number of decisions that the newest version didn't know; None for a harm's first version."""
    if not known:
        return None
    until = int(known[0].tags.get(LABELS_UNTIL, "0"))
    return sum(row.source == PLATFORM and (row.order or 0) > until for row in data.rows)


def _no_new_labels(harm: str, newest: Registered, data: Dataset) -> NotEnoughData:
    decisions = data.sources.get(PLATFORM, 0)
    return NotEnoughData(
        f"No label of {harm} is new since version {newest.version}, which was trained with all {decisions} decisions.",
        field=harm,
        remedy="Claim leads and decide them, then retrain.",
    )

"""Trains, proves and registers one harm's version, and gives it its alias."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from features.offline.frames import point_in_time
from leads.db.model_changes import CHAMPION, current_actor
from leads.db.tables import open_engine
from leads.errors import NotEnoughData
from leads.files import only_one
from leads.policies import HarmPolicy, Policies
from leads.settings import Settings
from models import manifest
from models.registry.mlflow_registry import MlflowRegistry
from models.registry.versions import FINGERPRINT, Registered, RunRecord
from models.text.sentence import place_of
from models.thresholds import Thresholds
from models.version import load
from training.build import Job, Made, encoder_of, make
from training.config import TrainingConfig, load_config
from training.data import dataset
from training.data.dataset import Dataset, FrameSource
from training.data.labelled_rows import PLATFORM
from training.gate.gate import GateReport
from training.lifecycle import lifecycle
from training.report.dataset_card import to_mlflow
from training.report.measure import Metrics, for_the_run

SEED = 7
LABELS_UNTIL = "leads.labels_until"
# Raise it when the same data and settings shall give another version.
RECIPE = 2
STEPS = ("gathering labels and features", "fitting", "measuring", "registering", "judging")
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainResult:
    """What a training gave.

    Args:
        version: its number in the registry.
        alias: the one that it bears now, None when it bears none.
        why: how it came by that.
        gate: what the gate said, when it was asked.
        reused: equal data and settings had been trained before; nothing was fitted.
        metrics: all labels, and what was measured on the held-out ones.
        seconds: that this call took.
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


def train(
    settings: Settings,
    policies: Policies,
    harm: str,
    *,
    config: TrainingConfig | None = None,
    first: str = CHAMPION,
    on_progress: OnProgress | None = None,
    frame: FrameSource = point_in_time,
) -> TrainResult:
    """Train a harm's version from all labels there are; a version made from equal ones is used again.

    A harm's first version becomes champion if the gate passes it, a later one challenger; `retrain` is what promotes.
    It may be killed at any moment and run again.

    Args:
        config: default: the harm's file in `LEADS_TRAINING`.
        first: alias of a harm's first version: `champion`, or `challenger` to look at it before it answers.
        on_progress: called with (step, done, total).

    Raises:
        NotFound: no such harm, or decisions but no features yet.
        NotEnoughData: too few labels; says how many there are and what is missing.
        ConfigurationError: the harm's configuration is wrong, or wants an encoder that isn't installed.
        Conflict: another process is training.
        Unavailable: the database or MLflow doesn't answer.
    """
    plan = _Plan(config or load_config(settings, harm), promoting=False, first=first, why="trained")
    return _run(settings, policies, harm, plan, on_progress, frame)


def retrain(
    settings: Settings,
    policies: Policies,
    harm: str,
    *,
    promote: bool = True,
    why: str = "retrained with newer labels",
    on_progress: OnProgress | None = None,
    frame: FrameSource = point_in_time,
) -> TrainResult:
    """Train with the labels that came since the newest version; it becomes champion if the gate passes it.

    Args:
        promote: False leaves it challenger whatever the gate would say.
        why: kept with the change.

    Raises:
        NotEnoughData: also when no label is new.
        NotFound, ConfigurationError, Conflict, Unavailable: as `train`.
    """
    plan = _Plan(load_config(settings, harm), promoting=promote, first=CHAMPION, why=why, again=True)
    return _run(settings, policies, harm, plan, on_progress, frame)


@dataclass(frozen=True)
class _Plan:
    """How to train and what to do with the version. `again`: only when there is something new to learn."""

    config: TrainingConfig
    promoting: bool
    first: str
    why: str
    again: bool = False


def _run(
    settings: Settings,
    policies: Policies,
    harm: str,
    plan: _Plan,
    on_progress: OnProgress | None,
    frame: FrameSource,
) -> TrainResult:
    started = time.monotonic()
    policy = policies.harm(harm)
    registry = MlflowRegistry(settings)
    done = 0

    def tell(step: str) -> None:
        nonlocal done
        done = STEPS.index(step) if step in STEPS else done
        if on_progress:
            on_progress(step, done, len(STEPS))

    engine = open_engine(settings)
    try:
        with only_one(settings.root / "training.lock", what="training"), tempfile.TemporaryDirectory() as temporary:
            tell(STEPS[0])
            registry.prepare()
            data = dataset.assemble(settings, engine, harm, policy, config=plan.config, frame=frame, seed=SEED)
            known = registry.versions(harm)
            fingerprint = _fingerprint(settings, data, policy, plan.config)
            same = next((v for v in known if v.tags.get(FINGERPRINT) == fingerprint), None)
            new_labels = _new_labels(data, known)
            pending = same is not None and same == known[0] and same.version not in registry.aliases(harm).values()
            if plan.again and not pending and same:
                raise _nothing_new(harm, known[0], data)
            folder = Path(temporary)
            if same:
                fetched = registry.fetch(harm, same.version, folder)
                number, version = same.version, load(fetched, place_of(settings))
            else:
                job = Job(settings, engine, harm, policy, plan.config, data, new_labels, frame, SEED)
                made = make(job, folder, tell=tell)
                tell(STEPS[3])
                number, version = registry.register(harm, made.version, _record(made, data, fingerprint)), made.version
            tell(STEPS[4])
            settled = lifecycle.settle(
                settings,
                registry,
                engine,
                policy,
                number,
                version,
                data,
                folder,
                promoting=plan.promoting,
                first=plan.first,
                actor=current_actor(),
                why=plan.why,
            )
            return TrainResult(
                harm=harm,
                version=number,
                alias=settled.alias,
                why=settled.why,
                gate=settled.gate,
                reused=same is not None,
                metrics=msgspec.json.decode(manifest.read_file(version.folder, manifest.METRICS), type=Metrics),
                thresholds=version.thresholds,
                seconds=time.monotonic() - started,
            )
    finally:
        engine.dispose()


def _fingerprint(settings: Settings, data: Dataset, policy: HarmPolicy, config: TrainingConfig) -> str:
    """Equal for equal data, policy, configuration and recipe: then the version would be the same."""
    encoder = encoder_of(settings, config) if policy.text else None
    recipe = {
        "recipe": RECIPE,
        "seed": SEED,
        "config": config.model_dump(mode="json"),
        "encoder": encoder.version if encoder else None,
        "policy": policy.model_dump(mode="json"),
        "data": data.hash,
    }
    return hashlib.sha256(msgspec.json.encode(recipe, order="sorted")).hexdigest()


def _new_labels(data: Dataset, known: list[Registered]) -> int | None:
    """Decisions that the newest version couldn't know; None for a harm's first version."""
    if not known:
        return None
    until = int(known[0].tags.get(LABELS_UNTIL, "0"))
    return sum(row.source == PLATFORM and (row.order or 0) > until for row in data.rows)


def _nothing_new(harm: str, newest: Registered, data: Dataset) -> NotEnoughData:
    decisions = data.sources.get(PLATFORM, 0)
    return NotEnoughData(
        f"No label of {harm} is new since version {newest.version}, which knew all {decisions} decisions.",
        field=harm,
        remedy="Claim leads and decide them, then retrain.",
    )


def _record(made: Made, data: Dataset, fingerprint: str) -> RunRecord:
    config = made.config.model_dump(mode="json")
    settings = {f"config_{section}": str(values)[:500] for section, values in config.items()}
    by_source = {f"ap_{source.replace(':', '_')}": ap for source, ap in made.metrics.by_source.items()}
    return RunRecord(
        fingerprint=fingerprint,
        params={
            "rows": made.metrics.rows,
            "positives": made.metrics.positives,
            "rounds": made.metrics.rounds,
            "seed": SEED,
            "contract": data.contract.hash,
            **{f"rows_{source.replace(':', '_')}": rows for source, rows in data.sources.items()},
            **settings,
        },
        metrics=for_the_run(made.metrics, made.version.thresholds) | by_source,
        tags={LABELS_UNTIL: str(data.labels_until), "leads.data": data.hash, "leads.contract": data.contract.hash},
        dataset=to_mlflow(made.data),
        files=made.plots,
    )

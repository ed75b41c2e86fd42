"""Trains, proves and registers one harm's version, and gives it its alias."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from features.frames import point_in_time
from leads.errors import NotEnoughData
from leads.files import only_one
from leads.policies import HarmPolicy, Policies
from leads.settings import Settings
from leads.tables import open_engine
from models import manifest
from models.registry import FINGERPRINT, Registered, Registry, RunRecord
from models.thresholds import Thresholds
from models.version import ModelVersion, load
from training import dataset, fit, text_fit
from training.dataset import PLATFORM, Dataset, FrameSource
from training.make import Job, Made, Metrics, make
from training.promote import CHALLENGER, CHAMPION, Settled, compare

SEED = 7
LABELS_UNTIL = "leads.labels_until"
# Raise it when the same data and settings shall give another version.
RECIPE = 1
STEPS = ("gathering labels and features", "fitting", "measuring", "registering", "deciding")
OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainResult:
    """What a training gave.

    Args:
        version: its number in the registry.
        alias: the one that it bears now, None when it bears none.
        why: how it came by that.
        reused: equal data and settings had been trained before; nothing was fitted.
        metrics: all labels, and what was measured on the held-out ones.
        seconds: that this call took.
    """

    harm: str
    version: str
    alias: str | None
    why: str
    reused: bool
    metrics: Metrics
    thresholds: Thresholds
    seconds: float


def train(
    settings: Settings,
    policies: Policies,
    harm: str,
    *,
    on_progress: OnProgress | None = None,
    frame: FrameSource = point_in_time,
) -> TrainResult:
    """Train a harm's version from all labels there are; a version made from equal ones is used again.

    A harm's first version becomes champion, a later one challenger; `retrain` is what promotes. It may be killed at any
    moment and run again.

    Args:
        on_progress: called with (step, done, total).

    Raises:
        NotFound: no such harm, or decisions but no features yet.
        NotEnoughData: too few labels; says how many there are and what is missing.
        Conflict: another process is training.
        Unavailable: the database or MLflow doesn't answer.
    """
    return _run(settings, policies, harm, on_progress, frame, again=False)


def retrain(
    settings: Settings,
    policies: Policies,
    harm: str,
    *,
    on_progress: OnProgress | None = None,
    frame: FrameSource = point_in_time,
) -> TrainResult:
    """Train with the decisions made since the newest version; it becomes champion unless it is worse.

    Raises:
        NotEnoughData: also when no decision is new.
        NotFound, Conflict, Unavailable: as `train`.
    """
    return _run(settings, policies, harm, on_progress, frame, again=True)


def _run(
    settings: Settings,
    policies: Policies,
    harm: str,
    on_progress: OnProgress | None,
    frame: FrameSource,
    *,
    again: bool,
) -> TrainResult:
    started = time.monotonic()
    policy = policies.harm(harm)
    registry = Registry(settings)

    def tell(step: str) -> None:
        if on_progress:
            on_progress(step, STEPS.index(step), len(STEPS))

    engine = open_engine(settings)
    try:
        with only_one(settings.root / "training.lock", what="training"), tempfile.TemporaryDirectory() as temporary:
            tell(STEPS[0])
            registry.prepare()
            data = dataset.assemble(settings, engine, harm, policy, frame=frame, seed=SEED)
            known = registry.versions(harm)
            fingerprint = _fingerprint(data, policy)
            same = next((v for v in known if v.tags.get(FINGERPRINT) == fingerprint), None)
            new_labels = _new_labels(data, known)
            pending = same is not None and same == known[0] and same.version not in registry.aliases(harm).values()
            if again and not pending and (same or new_labels == 0):
                raise _nothing_new(harm, known[0], data)
            folder = Path(temporary)
            if same:
                number, version = same.version, load(registry.fetch(harm, same.version, folder))
            else:
                made = make(Job(settings, engine, harm, policy, data, new_labels, frame, SEED), folder, tell=tell)
                tell(STEPS[3])
                number, version = registry.register(harm, made.version, _record(made, data, fingerprint)), made.version
            tell(STEPS[4])
            settled = _settle(registry, number, version, data, folder, promoting=again)
            return TrainResult(
                harm=harm,
                version=number,
                alias=settled.alias,
                why=settled.why,
                reused=same is not None,
                metrics=msgspec.json.decode(manifest.read_file(version.folder, manifest.METRICS), type=Metrics),
                thresholds=version.thresholds,
                seconds=time.monotonic() - started,
            )
    finally:
        engine.dispose()


def _fingerprint(data: Dataset, policy: HarmPolicy) -> str:
    """Equal for equal data, policy and recipe: then the version would be the same."""
    recipe = {
        "recipe": RECIPE,
        "seed": SEED,
        "booster": fit.BOOSTER,
        "text": [text_fit.PLAIN_C, text_fit.NB_C, text_fit.NB_SMOOTHING, text_fit.NB_DAMPING, text_fit.MIN_TEXTS],
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
        f"No decision about {harm} is new since version {newest.version}, which knew all {decisions} of them.",
        field=harm,
        remedy="Claim leads and decide them, then retrain.",
    )


def _record(made: Made, data: Dataset, fingerprint: str) -> RunRecord:
    test, thresholds = made.metrics.test, made.version.thresholds
    starts = {"review": thresholds.review, "auto": thresholds.auto}
    tiers = {f"threshold_{tier}": start for tier, start in starts.items() if start is not None}
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
            **{f"booster_{name}": str(value) for name, value in fit.BOOSTER.items()},
        },
        metrics={
            "ap": test.ap,
            "roc_auc": test.roc_auc,
            "brier": test.brier,
            "ece": test.ece,
            "ece_p": test.ece_p,
            "test_rows": test.rows,
            "test_positives": test.positives,
            **tiers,
            **by_source,
        },
        tags={LABELS_UNTIL: str(data.labels_until), "leads.data": data.hash, "leads.contract": data.contract.hash},
        files=made.plots,
    )


def _settle(
    registry: Registry, number: str, version: ModelVersion, data: Dataset, folder: Path, *, promoting: bool
) -> Settled:
    """Give a version its alias, unless it has one or a newer version came since."""
    harm = version.harm
    aliases = registry.aliases(harm)
    borne = next((alias for alias, bearer in aliases.items() if bearer == number), None)
    if borne is not None:
        return Settled(borne, f"It is the {borne} already.")
    if registry.versions(harm)[0].version != number:
        return Settled(None, "A newer version exists.")
    champion = aliases.get(CHAMPION)
    if champion is None:
        settled = Settled(CHAMPION, "It is the first.")
    elif promoting:
        settled = compare(load(registry.fetch(harm, champion, folder)), version, data, seed=SEED)
    else:
        settled = Settled(CHALLENGER, f"Version {champion} stays champion until a retraining promotes another.")
    assert settled.alias is not None
    registry.set_alias(harm, settled.alias, number)
    if settled.alias == CHAMPION and CHALLENGER in aliases:
        # What was compared with the old champion says nothing about the new one.
        registry.drop_alias(harm, CHALLENGER)
    return settled

"""A model of one's own in a few lines: rows to fit on, then a version that serving answers with.

labelled = own_model.labelled("spam", text_score=True)
model = XGBClassifier(max_depth=4).fit(labelled.learn.X, labelled.learn.y)
own_model.register(labelled, model, why="deeper trees")
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import Engine

from leads.db.model_changes import CHALLENGER, current_actor
from leads.db.tables import open_engine
from leads.errors import InvalidInput
from leads.files import only_one
from models.registry.mlflow_registry import MlflowRegistry
from models.thresholds import Thresholds
from training.lifecycle.lifecycle import settle
from training.lifecycle.outcomes import Settled
from training.own_model.checks import checked
from training.own_model.rows import Labelled, Rows, labelled
from training.own_model.version import Made, make
from training.report.measure import Metrics

__all__ = ["Labelled", "OwnVersion", "Rows", "labelled", "register"]


@dataclass(frozen=True, repr=False)
class OwnVersion:
    """What came of a model.

    Args:
        version: its number in the registry.
        alias: the one that it bears, None when it bears none, and `why`.
        metrics: measured on the held-out rows.
        next_steps: commands, and what they do.
    """

    harm: str
    version: str
    alias: str | None
    why: str
    metrics: Metrics
    thresholds: Thresholds
    next_steps: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        test = self.metrics.test
        width = max(len(command) for command, _ in self.next_steps)
        starts = (("review", self.thresholds.review), ("auto", self.thresholds.auto))
        lines = [
            f"{self.harm} version {self.version}, {self.alias or 'without alias'}: {self.why}",
            f"  on {test.rows:,} held-out rows, {test.positives:,} violating: average precision "
            f"{self.metrics.ap_interval.text()}, Brier score {test.brier:.4f}, ECE {test.ece:.4f}",
            *(f"  {tier}: {'not offered' if start is None else f'from {start:.3f}'}" for tier, start in starts),
            *(f"  {command:<{width}}  {what}" for command, what in self.next_steps),
        ]
        return "\n".join(lines)


def register(rows: Labelled, model: object, *, why: str) -> OwnVersion:
    """Calibrate, measure and register a fitted binary XGBoost model as the harm's challenger.

    The model's own trees answer, from its own start; no pickle is kept. Its columns may be any of `rows.columns`, in
    any order but for `text.score`, which comes last. An equal model on equal data is not registered twice.

    Args:
        model: `xgboost.XGBClassifier` or `xgboost.Booster`, fitted on (some columns of) `rows.learn.X`.
        why: kept with the version.

    Raises:
        InvalidInput: serving can't answer with this model; or `why` is empty.
        ModelRefused: the written version doesn't prove itself.
        Conflict: another process is training.
        Unavailable: the database or MLflow doesn't answer.
    """
    if not why.strip():
        raise InvalidInput("A version takes a reason.", field="why", remedy='Say in a sentence why: why="…".')
    own = checked(model, rows.columns, rows.calibrate.X)
    engine = open_engine(rows.settings)
    try:
        with only_one(rows.settings.root / "training.lock", what="training"), tempfile.TemporaryDirectory() as folder:
            made = make(rows, own, engine, Path(folder), why=why)
            number, settled = _registered(rows, made, engine, Path(folder), why)
    finally:
        engine.dispose()
    steps = (
        (f"leads models show {rows.harm} {number}", "everything known about it"),
        (f"leads models promote {rows.harm} {number}", "let it answer, if the gate passes it"),
    )
    return OwnVersion(rows.harm, number, settled.alias, settled.why, made.metrics, made.version.thresholds, steps)


def _registered(rows: Labelled, made: Made, engine: Engine, folder: Path, why: str) -> tuple[str, Settled]:
    """The version's number, an earlier one's where the two are equal, and what became of its alias."""
    registry = MlflowRegistry(rows.settings)
    registry.prepare()
    same = registry.find(rows.harm, made.run.fingerprint)
    number = same.version if same else registry.register(rows.harm, made.version, made.run)
    settled = settle(
        rows.settings,
        registry,
        engine,
        rows.policy,
        number,
        made.version,
        rows.data,
        folder,
        promoting=False,
        first=CHALLENGER,
        actor=current_actor(),
        why=why.strip(),
    )
    return number, settled

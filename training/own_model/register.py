"""Registers a fitted XGBoost model of your own as the challenger of a harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass

from features.declared.feature_set import FeatureSet
from features.declared.generations import live
from features.evaluate.columns import unsatisfied
from leads import clock
from leads.db.model_changes import CHALLENGER, current_actor
from leads.errors import Conflict, InvalidInput
from models.thresholds import Thresholds
from training.build import build, log_errors_with_texts
from training.data.dataset import Dataset
from training.lifecycle.outcomes import ChangeReason
from training.own_model.calibrate import fitted_model, restricted_data
from training.own_model.checks import checked
from training.own_model.labelled_split import LabelledSplit
from training.report.evaluate import Evaluation
from training.report.measure import Metrics, metrics_of
from training.workspace import Workspace, open_workspace


@dataclass(frozen=True, repr=False)
class OwnVersion:
    """A registered model of your own.

    Args:
        version: its number in the registry.
        alias: the alias it has, None if it has none; `why` gives the reason.
        metrics: measured on the held-out rows.
        next_steps: commands, each with what it does.
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
            f"{self.harm} version {self.version}, {self.alias or 'no alias'}: {self.why}",
            f"  on {test.evidence.text()}",
            f"  {_measured(test)}",
            *(f"  {tier} tier: {'not offered' if start is None else f'from {start:.3f}'}" for tier, start in starts),
            *(f"  {command:<{width}}  {what}" for command, what in self.next_steps),
        ]
        return "\n".join(lines)


def register(rows: LabelledSplit, model: object, *, why: str, with_texts: bool = False) -> OwnVersion:
    """Calibrate, measure and register a fitted binary XGBoost model as the harm's challenger.

    Serving runs the model's own trees from its own base score; nothing is pickled. The model may take any of
    `rows.columns` in any order, but `text.score` must come last. An equal model on equal data is registered once.

    Args:
        model: `xgboost.XGBClassifier` or `xgboost.Booster`, fitted on (some columns of) `rows.train.X`.
        why: why it is registered; kept with the version.
        with_texts: let the registry's table of the version's worst errors contain the rows' texts.

    Raises:
        InvalidInput: serving can't reproduce this model, or `why` is empty.
        ModelRefused: the written version doesn't reproduce its own scores.
        Conflict: another process is training, or a feature's declaration has changed since the rows were gathered.
        Unavailable: the database or MLflow can't be reached.
    """
    why, began = why.strip(), clock.now()
    if not why:
        raise InvalidInput("Registering a version needs a reason.", field="why", remedy='Give one sentence: why="…".')
    optional = [one.column.name for one in rows.data.optional]
    own = checked(model, rows.columns, rows.calibration.X, optional=optional)
    with _workspace(rows) as space:
        data = restricted_data(rows.data, own)
        _check_unchanged(data, live(space.engine))
        fitted = fitted_model(rows, own, data, why)
        same = space.registry.find(rows.harm, fitted.fingerprint)
        source = "own_model.register"
        run: AbstractContextManager[str | None] = (
            nullcontext() if same else space.run(rows.harm, fitted.fingerprint, began=began, source=source)
        )
        with run as run_id:
            if same:
                number, version = same.version, space.fetch(rows.harm, same.version)
                if with_texts:
                    log_errors_with_texts(space, version, number, data)
            else:
                built = build(space, rows.policy, data, fitted, frame=rows.frame, with_texts=with_texts)
                number = space.registry.register(rows.harm, built.version, built.run, run_id)
                version = built.version
            settled = space.lifecycle(rows.harm, rows.policy).settle(
                number,
                version,
                rows.data,
                space.folder,
                ChangeReason(current_actor(), why),
                promote=False,
                first=CHALLENGER,
            )
        metrics = metrics_of(version)
    steps = (
        (f"leads models show {rows.harm} {number}", "show everything known about it"),
        (f"leads models promote {rows.harm} {number}", "make it champion if it passes the gate"),
    )
    return OwnVersion(rows.harm, number, settled.alias, settled.why, metrics, version.thresholds, steps)


@contextmanager
def _workspace(rows: LabelledSplit) -> Iterator[Workspace]:
    with ExitStack() as opened:
        try:
            space = opened.enter_context(open_workspace(rows.settings))
        except Conflict as error:
            error.remedy = "Nothing was registered. When it has finished, call register again."
            raise
        yield space


def _check_unchanged(data: Dataset, features: FeatureSet) -> None:
    why = unsatisfied(data.contract, features)
    if why:
        raise Conflict(why, field="model", remedy="Get the rows again with labelled(…), and fit the model on them.")


def _measured(test: Evaluation) -> str:
    if test.ap is None or test.brier is None or test.ece is None:
        return "not measured: there are too few distinct rows of either kind"
    return f"average precision {test.ap.text()}, Brier score {test.brier.text()}, ECE {test.ece.text()}"

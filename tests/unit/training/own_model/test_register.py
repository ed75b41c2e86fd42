from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost

from leads.db.engine import open_engine
from leads.errors import ConfigurationError, Conflict, InvalidInput, NotEnoughData, NotFound
from leads.files import only_one
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings, load_settings
from models import manifest, training_rows
from models.manifest import TEXT_SCORE
from models.registry.mlflow_registry import MlflowRegistry
from models.version import ModelVersion, load
from tests.support.training.live_features import OPTIONAL, OURS, go_live
from training import own_model
from training.data.own_labels import Columns, import_labels
from training.own_model import LabelledSplit, OwnVersion
from training.own_model.checks import checked, margins_of

pytestmark = pytest.mark.slow

POLICIES = load_policies(POLICIES_FILE)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, made: Any) -> Settings:
    """A home with 600 labels of `spam` from a file, and an empty registry."""
    settings = load_settings(home=tmp_path_factory.mktemp("home"), corpora=Path())
    path = settings.root / "mine.csv"
    lines = [f"{text},{int(label)},{i}" for i, (text, label) in enumerate(zip(made.texts, made.labels, strict=True))]
    path.write_text("\n".join(("text,label,at", *lines)) + "\n")
    import_labels(settings, POLICIES, "spam", path, Columns("text", "label", time="at"))
    MlflowRegistry(settings).prepare()
    return settings


@pytest.fixture(scope="module")
def rows(home: Settings) -> LabelledSplit:
    return own_model.labelled("spam", settings=home, policies=POLICIES, text_score=True)


def classifier(**given: Any) -> xgboost.XGBClassifier:
    return xgboost.XGBClassifier(**{"n_estimators": 12, "max_depth": 2, "n_jobs": 1, "random_state": 1} | given)


def two_columns(rows: LabelledSplit) -> list[str]:
    """Features in another order than the contract's, then the text's score."""
    return [rows.columns[-2], rows.columns[-4], TEXT_SCORE]


@pytest.fixture(scope="module")
def model(rows: LabelledSplit) -> xgboost.XGBClassifier:
    columns = two_columns(rows)
    stops = classifier(n_estimators=200, learning_rate=0.5, early_stopping_rounds=5)
    held = [(rows.calibration.X[columns], rows.calibration.y)]
    return stops.fit(
        rows.train.X[columns], rows.train.y, sample_weight=rows.train.weights, eval_set=held, verbose=False
    )


@pytest.fixture(scope="module")
def registered(rows: LabelledSplit, model: xgboost.XGBClassifier) -> OwnVersion:
    return own_model.register(rows, model, why="Fewer columns.")


@pytest.fixture(scope="module")
def fetched(home: Settings, registered: OwnVersion, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    return load(MlflowRegistry(home).fetch("spam", registered.version, tmp_path_factory.mktemp("fetched")))


def test_the_parts_hold_every_row_once_and_share_no_text(rows: LabelledSplit) -> None:
    parts = (rows.train, rows.calibration, rows.test)
    at = np.concatenate([part.at for part in parts])
    assert sorted(at.tolist()) == list(range(len(rows.data.rows)))
    assert np.array_equal(np.sort(rows.test.at), np.flatnonzero(rows.data.held_out))
    groups = [set(rows.data.groups[part.at].tolist()) for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups))
    clusters = [set(rows.data.clusters[part.at].tolist()) for part in parts[:2]]
    assert not clusters[0] & clusters[1]
    for part in parts:
        assert (list(part.X.columns), set(part.X.dtypes.astype(str))) == (list(rows.columns), {"float32"})
        assert len(part) == len(part.X) == len(part.y) == len(part.texts) == len(part.weights)
        assert part.y.dtype == np.bool_
        assert part.texts == [rows.data.rows[i].text for i in part.at.tolist()]
    assert len(rows.calibration) == pytest.approx((len(rows.train) + len(rows.calibration)) / 5, rel=0.4)
    assert rows.columns == (*rows.data.contract.names, TEXT_SCORE)


def test_the_parts_of_similar_small_files_all_hold_both_labels(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path / "home", corpora=Path())
    path = tmp_path / "mine.csv"
    for draw in range(20):
        path.write_text("text,label\n" + "".join(f"words {draw} {i},{int(i < 30)}\n" for i in range(60)))
        import_labels(settings, POLICIES, "spam", path, Columns("text", "label"), replace=True)
        small = own_model.labelled("spam", settings=settings, policies=POLICIES)
        for part in (small.train, small.calibration, small.test):
            assert min(part.y.sum(), (~part.y).sum()) >= 5


def test_the_text_score_is_that_of_a_stage_which_did_not_see_the_row(rows: LabelledSplit) -> None:
    assert rows.text_stage is not None
    for part in (rows.calibration, rows.test):
        served = rows.text_stage.log_odds(part.texts)
        assert np.array_equal(part.X[TEXT_SCORE].to_numpy(), served)
    seen = rows.text_stage.log_odds(rows.train.texts)
    own = rows.train.X[TEXT_SCORE].to_numpy()
    assert not np.isnan(own).any()
    assert own[rows.train.y].mean() > own[~rows.train.y].mean() + 1
    # A stage that saw a row tells its label better than one that didn't.
    assert np.ptp([own[rows.train.y].mean(), own[~rows.train.y].mean()]) < np.ptp(
        [seen[rows.train.y].mean(), seen[~rows.train.y].mean()]
    )


def test_without_the_text_score_the_contract_is_all(home: Settings) -> None:
    plain = own_model.labelled("spam", settings=home, policies=POLICIES)
    assert plain.columns == plain.data.contract.names
    assert plain.text_stage is None
    assert plain.learned_text_scores == {}


def test_the_registered_version_proves_itself_and_answers_as_the_model_does(
    rows: LabelledSplit, model: xgboost.XGBClassifier, fetched: ModelVersion
) -> None:
    fetched.verify()
    assert fetched.starts_from == "booster"
    assert fetched.input_names == tuple(two_columns(rows))
    assert fetched.contract.names == tuple(two_columns(rows)[:-1])
    features = rows.test.X[list(fetched.contract.names)].to_numpy()
    scores = fetched.score(features, rows.test.texts)
    expected = model.predict(rows.test.X[two_columns(rows)], output_margin=True)
    assert np.abs(scores.margin - expected).max() < 1e-6
    assert model.best_iteration + 1 == fetched.booster.num_boosted_rounds() < 200
    assert np.allclose(fetched.contributions(scores.vector).sum(axis=1), scores.margin, atol=1e-5)


def test_the_portable_form_gives_the_same_scores(
    home: Settings, rows: LabelledSplit, fetched: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        portable = mlflow.pyfunc.load_model(str(next(home.artifacts_dir.glob("*/artifacts/model"))))
        # As from JSON: doubles, and the columns in any order.
        frame = rows.test.X[list(reversed(fetched.contract.names))].astype(float).assign(text=rows.test.texts)
        answer = portable.predict(frame)
    scores = fetched.score(rows.test.X[list(fetched.contract.names)].to_numpy(), rows.test.texts)
    assert np.abs(answer["score"].to_numpy() - scores.score).max() < 1e-9


def test_it_is_challenger_and_says_what_to_do(
    home: Settings, rows: LabelledSplit, registered: OwnVersion, fetched: ModelVersion
) -> None:
    assert (registered.harm, registered.version, registered.alias) == ("spam", "1", "challenger")
    assert MlflowRegistry(home).aliases("spam") == {"challenger": "1"}
    shown = repr(registered)
    assert "spam version 1, challenger" in shown
    assert "leads models promote spam 1" in shown
    test = registered.metrics.test
    assert test.roc_auc is not None
    assert test.ap is not None
    assert test.roc_auc.found > 0.7
    assert test.ap.text() in shown
    run = MlflowRegistry(home).version("spam", "1")
    assert run.tags["leads.why"] == "Fewer columns."
    assert run.metrics["ap"] == pytest.approx(test.ap.found)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=home.mlflow)
        logged = client.get_run(run.run_id)
        (learned,) = logged.inputs.dataset_inputs
        losses = client.get_metric_history(run.run_id, "fit/validation_0 logloss by tree")
    assert logged.info.run_name.startswith("spam v1 ")
    assert logged.data.tags["mlflow.source.name"] == "own_model.register"
    assert [point.step for point in losses] == list(range(1, len(losses) + 1))
    assert learned.dataset.digest == rows.data.hash[:36]
    card = (fetched.folder / "model_card.md").read_text()
    assert "Fewer columns." in card
    assert "file:mine" in card


def test_what_is_held_out_measures_and_nothing_else(rows: LabelledSplit, registered: OwnVersion) -> None:
    held_out = registered.metrics.test.evidence
    assert (held_out.rows, held_out.positives) == (len(rows.test), int(rows.test.y.sum()))
    assert registered.metrics.held_out == held_out
    assert registered.metrics.fit.rows == len(rows.train)
    assert registered.metrics.calibration.rows == len(rows.calibration)
    assert registered.metrics.rows == 600
    assert registered.metrics.new_labels is None


def test_an_equal_model_is_not_registered_twice(
    home: Settings, rows: LabelledSplit, model: xgboost.XGBClassifier, registered: OwnVersion
) -> None:
    again = own_model.register(rows, model, why="Again.")
    assert (again.version, again.alias) == (registered.version, "challenger")
    assert len(MlflowRegistry(home).versions("spam")) == 1


def test_a_booster_without_text_is_served_too(home: Settings, rows: LabelledSplit, tmp_path: Path) -> None:
    copied = load_settings(home=tmp_path / "home", corpora=Path())
    shutil.copytree(home.root / "labels", copied.root / "labels")
    MlflowRegistry(copied).prepare()
    plain = own_model.labelled("spam", settings=copied, policies=POLICIES)
    matrix = xgboost.DMatrix(plain.train.X, plain.train.y)
    # Dropped trees leave weights behind, which must come along.
    params = {"objective": "binary:logitraw", "booster": "dart", "rate_drop": 0.5, "nthread": 1, "seed": 1}
    booster = xgboost.train(params, matrix, 8)
    made = own_model.register(plain, booster, why="Raw log-odds.")
    version = load(MlflowRegistry(copied).fetch("spam", made.version, tmp_path / "into"))
    version.verify()
    assert not version.uses_text
    assert version.contract == plain.data.contract
    margin = version.score(plain.test.X.to_numpy(), plain.test.texts).margin
    assert np.abs(margin - booster.predict(xgboost.DMatrix(plain.test.X), output_margin=True)).max() < 1e-6


def fitted(rows: LabelledSplit, columns: list[str], y: Any = None, **given: Any) -> xgboost.XGBClassifier:
    return classifier(**given).fit(rows.train.X[columns], rows.train.y if y is None else y)


REFUSED: dict[str, tuple[Callable[[LabelledSplit, list[str]], object], str, str]] = {
    "not xgboost": (lambda rows, columns: object(), "of type object", "XGBClassifier"),
    "not fitted": (lambda rows, columns: classifier(), "isn't fitted", "labelled.train"),
    "a regressor": (lambda rows, columns: xgboost.XGBRegressor(), "of type XGBRegressor", "XGBClassifier"),
    "several classes": (
        lambda rows, columns: fitted(rows, columns, np.arange(len(rows.train)) % 3),
        "objective is multi:softprob",
        "binary:logistic",
    ),
    "several labels": (
        lambda rows, columns: fitted(rows, columns, np.column_stack((rows.train.y, rows.train.y))),
        "with 2 targets",
        "binary:logistic",
    ),
    "classes alone": (
        lambda rows, columns: fitted(rows, columns, objective="binary:hinge"),
        "objective is binary:hinge",
        "binary:logistic",
    ),
    "linear": (lambda rows, columns: fitted(rows, columns, booster="gblinear"), "kind gblinear", "booster=gbtree"),
    "zeros as missing": (
        lambda rows, columns: fitted(rows, columns, missing=0.0),
        "as a missing value",
        "missing=nan",
    ),
    "no names": (
        lambda rows, columns: classifier().fit(rows.train.X[columns].to_numpy(), rows.train.y),
        "has no column names",
        "data frame",
    ),
    "other names": (
        lambda rows, columns: classifier().fit(rows.train.X[columns[:1]].set_axis(["mine"], axis=1), rows.train.y),
        "unknown column, 'mine'",
        "labelled.columns",
    ),
    "categories": (
        lambda rows, columns: classifier(enable_categorical=True).fit(
            rows.train.X[columns].assign(**{columns[0]: rows.train.X[columns[0]].gt(3).map(str).astype("category")}),
            rows.train.y,
        ),
        "as a category",
        "enable_categorical=False",
    ),
    "text score first": (lambda rows, columns: fitted(rows, [TEXT_SCORE, columns[0]]), "must come last", TEXT_SCORE),
    "text score alone": (lambda rows, columns: fitted(rows, [TEXT_SCORE]), "after at least one feature", TEXT_SCORE),
}


# What two fixtures know of xgboost's own warnings is no matter of ours.
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_models_that_serving_cannot_reproduce_are_refused(rows: LabelledSplit, kind: str) -> None:
    make, message, remedy = REFUSED[kind]
    with pytest.raises(InvalidInput, match=message) as caught:
        own_model.register(rows, make(rows, two_columns(rows)), why="To see.")
    assert caught.value.field == "model"
    assert remedy in (caught.value.remedy or "")


def test_the_text_score_must_have_been_asked_for(home: Settings, rows: LabelledSplit) -> None:
    plain = own_model.labelled("spam", settings=home, policies=POLICIES)
    with pytest.raises(InvalidInput, match=TEXT_SCORE) as caught:
        own_model.register(plain, fitted(rows, two_columns(rows)), why="To see.")
    assert "text_score=True" in (caught.value.remedy or "")


def test_margins_that_come_out_otherwise_are_refused(rows: LabelledSplit) -> None:
    class Elsewhere(xgboost.XGBClassifier):  # type: ignore[misc]
        def predict(self, *given: Any, **options: Any) -> Any:
            return super().predict(*given, **options) + np.float32(0.01)

    columns = two_columns(rows)
    model = Elsewhere(n_estimators=3, n_jobs=1).fit(rows.train.X[columns], rows.train.y)
    with pytest.raises(InvalidInput, match=r"differ from the model's own by up to 0.01"):
        checked(model, rows.columns, rows.calibration.X)


def test_the_model_itself_stays_as_it_is(rows: LabelledSplit) -> None:
    model = fitted(rows, two_columns(rows))
    before = bytes(model.get_booster().save_raw("ubj"))
    own = checked(model, rows.columns, rows.calibration.X)
    own.booster.set_param({"nthread": 2})
    assert own.booster is not model.get_booster()
    assert bytes(model.get_booster().save_raw("ubj")) == before
    assert len(margins_of(model, rows.test.X[two_columns(rows)])) == len(rows.test)


def test_a_contract_of_some_columns_keeps_their_rules(rows: LabelledSplit) -> None:
    whole = rows.data.contract
    some = rows.data.with_features([whole.names[3], whole.names[1]]).contract
    assert some.columns == (whole.columns[3], whole.columns[1])
    assert (some.feature_service, some.encoder_version) == (whole.feature_service, whole.encoder_version)
    assert some.hash != whole.hash


def test_what_is_asked_for_wrongly_is_named(home: Settings, rows: LabelledSplit, model: xgboost.XGBClassifier) -> None:
    with pytest.raises(InvalidInput, match="needs a reason"):
        own_model.register(rows, model, why=" ")
    with pytest.raises(NotFound, match="Harm 'nothing' not found"):
        own_model.labelled("nothing", settings=home, policies=POLICIES)
    with pytest.raises(InvalidInput, match="doesn't use text"):
        own_model.labelled("stream_manipulation", settings=home, policies=POLICIES, text_score=True)
    with pytest.raises(NotEnoughData, match="0 labels"):
        own_model.labelled("sexism", settings=home, policies=POLICIES)


@pytest.mark.slow
def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow where Feast, whose command line takes the same settings, isn't imported yet."""
    monkeypatch.setenv("LEADS_ENCODER", "nothing")
    with pytest.raises(ConfigurationError, match="LEADS_ENCODER"):
        own_model.labelled("spam")


def test_while_another_process_trains_nothing_is_registered(
    rows: LabelledSplit, model: xgboost.XGBClassifier, registered: OwnVersion
) -> None:
    before = len(MlflowRegistry(rows.settings).versions("spam"))
    lock = only_one(rows.settings.root / "training.lock", what="training")
    with lock, pytest.raises(Conflict, match="Another process is training") as caught:
        own_model.register(rows, model, why="Another one.")
    assert caught.value.remedy == "Nothing was registered. When it has finished, call register again."
    assert len(MlflowRegistry(rows.settings).versions("spam")) == before


def test_a_model_of_ones_own_records_every_row_that_it_could_have_learned_from(
    rows: LabelledSplit, fetched: ModelVersion
) -> None:
    its = training_rows.read(fetched)
    assert its is not None
    learned = np.concatenate((rows.train.at, rows.calibration.at))
    assert np.array_equal(its, np.unique(rows.data.groups[learned]))
    assert not np.isin(rows.data.groups[rows.test.at], its).any()
    assert manifest.TRAINED_ON in manifest.read_manifest(fetched.folder).files


def test_declared_and_optional_features_can_be_columns(home: Settings, tmp_path: Path) -> None:
    shutil.copytree(home.root, tmp_path / "home")
    settings = load_settings(home=tmp_path / "home", corpora=Path())
    engine = open_engine(settings)
    go_live(engine)
    plain = own_model.labelled("spam", settings=settings, policies=POLICIES)
    assert OURS in plain.columns
    assert not {OPTIONAL, "item.plays"} & set(plain.columns)
    rows = own_model.labelled(
        "spam", settings=settings, policies=POLICIES, extra_features=[OPTIONAL, "item.plays", OURS]
    )
    assert rows.columns == (*plain.columns, OPTIONAL, "item.plays")
    columns = [OPTIONAL, OURS, "item.plays", "text.chars"]
    model = classifier().fit(rows.train.X[columns], rows.train.y)
    with pytest.raises(InvalidInput, match=f"unknown column, '{OPTIONAL}'") as caught:
        own_model.register(plain, model, why="To see.")
    assert caught.value.remedy == f'Get the rows with labelled(…, extra_features=["{OPTIONAL}"]).'
    made = own_model.register(rows, model, why="Declared features.")
    version = load(MlflowRegistry(settings).fetch("spam", made.version, tmp_path))
    assert list(version.contract.names) == columns
    assert [bool(column.definition) for column in version.contract.columns] == [True, True, False, False]
    go_live(engine, window="7d")
    engine.dispose()
    with pytest.raises(Conflict, match="its declaration changed") as changed:
        own_model.register(rows, model, why="To see.")
    assert "Get the rows again" in (changed.value.remedy or "")


def test_a_feature_that_does_not_exist_is_refused_with_how_to_add_one(home: Settings) -> None:
    with pytest.raises(InvalidInput, match=f"There is no feature '{OURS}'") as caught:
        own_model.labelled("spam", settings=home, policies=POLICIES, extra_features=[OURS])
    assert "item.plays" in (caught.value.remedy or "")
    assert "declare it in platform.yaml, then run: leads features apply" in (caught.value.remedy or "")

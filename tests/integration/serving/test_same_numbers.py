"""One subject, one number: over HTTP, by the portable model, and in a batch over Feast's point-in-time join."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost
from anyio.from_thread import start_blocking_portal

from features.offline.frames import point_in_time
from leads import clock
from leads.clock import Micros
from leads.db import keys
from leads.db.engine import reading
from leads.db.items import current_items
from leads.events import Subject
from leads.settings import load_settings
from models.registry import artifact, portable
from models.version import ModelVersion
from models.write import write_version
from tests.support.serving.world import Http, make_parts, make_runtime, make_stack, point_to
from tests.support.skew_world import PORTIONS, SkewWorld

pytestmark = pytest.mark.slow
HARMS = {"comment": "spam", "account": "stream_manipulation"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SkewWorld]:
    made = SkewWorld(load_settings(home=tmp_path_factory.mktemp("world"), corpora="none", database_url=None))
    for _ in range(PORTIONS):
        made.send()
        made.work()
    made.finish()
    yield made
    made.close()


def branching(world: SkewWorld, harm: str, features: np.ndarray, texts: list[str | None]) -> ModelVersion:
    """A champion whose trees branch on nearly every row of these, so that a wrong input shows in the score."""
    before, parts = world.published.lineup().champions[harm], make_parts(harm)
    vector = before.score(features, texts).vector
    labels = np.random.default_rng(3).random(len(vector)) < 0.4
    matrix = xgboost.DMatrix(
        vector, label=labels, base_margin=np.zeros(len(vector)), feature_names=list(parts.input_names)
    )
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 5, "seed": 1}, matrix, 30)
    folder = world.settings.published_dir / harm / "2"
    write_version(folder, replace(parts, booster=booster, reference=vector, reference_labels=labels.tolist()))
    (folder / "version.txt").write_text("2", encoding="utf-8")
    point_to(world.settings, harm, "2")
    world.published.refresh()
    return world.published.lineup().champions[harm]


def over_http(world: SkewWorld, subjects: list[Subject], at: Micros) -> list[float]:
    """Scores of known subjects by id, as of `at`."""
    runtime = replace(make_runtime(world.settings, world.engine), scorer=world.scorer, clock=lambda: at)
    header = {"x-api-key": keys.create(world.engine, "x", ["score"]).text}
    sent = [{"id": one.id, "typeId": one.type_id} for one in subjects]
    with start_blocking_portal() as portal:
        answer = Http(make_stack(runtime), portal, headers=header).post("/v1/score", json={"subjects": sent}).json()
    runtime.published.stop()
    runtime.predictions.close()
    return [score["score"] for result in answer["results"] for score in result["scores"]]


def by_pyfunc(version: ModelVersion, features: np.ndarray, texts: list[str | None], folder: Path) -> list[float]:
    """Scores by MLflow's generic model, from the same features."""
    with warnings.catch_warnings():
        # MLflow warns about itself.
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        portable.save(version, folder)
        model = mlflow.pyfunc.load_model(str(folder))
        frame = pd.DataFrame(features.astype(np.float64), columns=list(version.contract.names))
        if version.uses_text:
            frame[artifact.TEXT] = texts
        scores: list[float] = model.predict(frame)["score"].tolist()
    return scores


@pytest.mark.parametrize("type_id", sorted(HARMS))
def test_http_portable_model_and_batch_agree(world: SkewWorld, type_id: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    known = world.comments() if type_id == "comment" else [Subject("account", f"a{i}") for i in range(400)]
    at = world.now + 90 * clock.MINUTE
    with reading(world.engine) as connection:
        items = current_items(connection, known)
    # An account nobody sent and that did nothing can't be scored by id.
    rows = world.reader.fetch(known).row_at.any(axis=1)
    able = [one for one, has_row in zip(known, rows, strict=True) if one in items or has_row]
    subjects = [able[i] for i in rng.choice(len(able), size=min(200, len(able)), replace=False)]
    texts = [(items[one].text or None) if one in items else None for one in subjects]
    contract = world.published.lineup().champions[HARMS[type_id]].contract
    frame = point_in_time(world.settings, contract, subjects, texts, np.full(len(subjects), at))
    version = branching(world, HARMS[type_id], frame.matrix, texts)

    served = over_http(world, subjects, at)
    batch = version.score(frame.matrix, texts).score
    portable_scores = by_pyfunc(version, frame.matrix, texts, tmp_path / "model")

    assert len(served) == len(subjects) > 100
    assert len(set(served)) > 20
    np.testing.assert_allclose(served, batch, rtol=0, atol=1e-6)
    np.testing.assert_allclose(served, portable_scores, rtol=0, atol=1e-6)

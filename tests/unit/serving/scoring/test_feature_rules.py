"""How a contract's rules on stored features affect scores."""

from __future__ import annotations

import numpy as np
from sqlalchemy.engine import Engine

from features.declared.builtin import ACCOUNT
from features.layout import VISIBLE
from leads import clock
from leads.errors import Unavailable
from leads.events import Subject
from leads.policies import FeatureRule
from leads.predictions.log import read_predictions
from leads.settings import Settings
from serving.runtime import Runtime
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import SubjectError, SubjectScore
from tests.support.serving.world import FakeReader, make_runtime, packed_row, publish

NOW = clock.from_text("2026-03-01T12:00:00Z")


def score(runtime: Runtime, *subjects: Subject) -> list[SubjectScore | SubjectError]:
    return runtime.scorer.score([ScoreRequest(subject) for subject in subjects], NOW, "api").records()


def reader_of(runtime: Runtime) -> FakeReader:
    assert isinstance(runtime.reader, FakeReader)
    return runtime.reader


def ruled(settings: Settings, engine: Engine, **rule: object) -> Runtime:
    """Serve one version for accounts whose contract has this rule for account features."""
    publish(settings, "stream_manipulation", rules=[FeatureRule.model_validate({"match": "account.*", **rule})])
    return make_runtime(settings, engine)


def test_a_rule_refuses_subjects_with_old_features_and_scores_the_others(settings: Settings, engine: Engine) -> None:
    opened = ruled(settings, engine, max_age_days=2, when_missing="refuse")
    reader = reader_of(opened)
    old, new = Subject("account", "old"), Subject("account", "new")
    for account, days in ((old, 3), (new, 1)):
        at = NOW - days * clock.DAY
        row = packed_row(ACCOUNT, at, plays=20)
        row[VISIBLE : VISIBLE + 2] = divmod(at // clock.SECOND, 86_400)
        reader.rows[account], reader.row_at[account] = {"account": row}, {"account": at}
    refused, scored = score(opened, old, new)
    assert isinstance(refused, SubjectError)
    assert isinstance(refused.error, Unavailable)
    assert (refused.subject, refused.harm, refused.error.field) == (old, "stream_manipulation", "account.age_h")
    assert (
        refused.error.message == "stream_manipulation can't be scored: account.age_h is missing or older than 2 days."
    )
    assert isinstance(scored, SubjectScore)
    assert scored.degraded == ("subject_unknown",)
    assert scored.oldest_feature_age_s == 86_400
    opened.predictions.flush()
    assert read_predictions(settings.predictions_dir, "stream_manipulation")["subject_id"].to_pylist() == ["new"]
    opened.close()


def test_a_rule_blanks_old_features_and_flags_the_score(settings: Settings, engine: Engine) -> None:
    opened = ruled(settings, engine, max_age_days=2)
    at = NOW - 3 * clock.DAY
    row = packed_row(ACCOUNT, at, reports=9)
    row[VISIBLE : VISIBLE + 2] = divmod(at // clock.SECOND, 86_400)
    account = Subject("account", "a1")
    reader_of(opened).rows[account], reader_of(opened).row_at[account] = {"account": row}, {"account": at}
    (answer,) = score(opened, account)
    assert isinstance(answer, SubjectScore)
    assert "features_old" in answer.degraded
    opened.predictions.flush()
    vector = read_predictions(settings.predictions_dir, "stream_manipulation")["vector"][0].as_py()
    names = opened.published.lineup().champions["stream_manipulation"].contract.names
    assert np.isnan([value for name, value in zip(names, vector, strict=True) if name.startswith("account.")]).all()
    opened.close()

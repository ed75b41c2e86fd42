"""A process that answers requests reads the features that are live, and keeps them while the database is down."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy.engine import Engine

from features.declared.builtin import BUILTIN
from features.declared.feature_set import FeatureSet
from features.declared.generations import live
from features.materialize import Materializer
from leads.settings import Settings
from serving.feature_watch import FeatureWatch
from tests.support.features.declared.generations import apply, declared, log, with_declared


class Reader:
    features: FeatureSet = BUILTIN

    def use(self, features: FeatureSet) -> None:
        self.features = features


@pytest.mark.slow
def test_other_features_are_used_once_they_are_live(settings: Settings, engine: Engine) -> None:
    log(engine, with_declared(60))
    Materializer(settings, engine).run_to_head()
    reader = Reader()
    watch = FeatureWatch(engine, reader)
    watch.look()
    assert reader.features is BUILTIN
    apply(settings, engine, declared())
    watch.look()
    assert reader.features is live(engine)
    assert reader.features is not BUILTIN


def test_a_database_that_is_down_changes_nothing(
    settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    reader = Reader()
    watch = FeatureWatch(engine, reader)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE feature_generations")
    with caplog.at_level(logging.WARNING):
        watch.look()
        watch.look()
    assert reader.features is BUILTIN
    assert len([one for one in caplog.records if "which features are live" in one.getMessage()]) == 1

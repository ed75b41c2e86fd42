"""A column of a feature view of the user's own is learned from history, and decides what is served."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from features.evaluate.columns import evaluate
from features.live_rows import LiveRows
from features.online.reader import open_reader
from features.partition import WHOLE
from features.registration.materializing import materialize
from leads import clock
from leads.db import event_log
from leads.db.engine import migrate, open_engine
from leads.events import DecisionMade, ItemCreated, RecordedEvent, Subject, SubjectRef
from leads.policies import load_policies
from leads.settings import POLICIES_FILE, Settings, load_settings
from models.registry.mlflow_registry import MlflowRegistry
from models.version import load
from tests.support.features.history import START
from tests.support.features.own_views import TrustRow, apply_views, write_definitions, write_history
from tests.support.training.spam_labels import write_comments
from training.train import train

pytestmark = pytest.mark.slow
N = 240
TEXT = "what a night it was"
# The trust level of accounts whose comments are violating, and of others.
BAD, GOOD = 2, 90


def level(i: int) -> int:
    """The trust level of account `a<i>`, which wrote comment `c<i>`."""
    return BAD if i % 3 == 0 else GOOD


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A platform whose comments are violating if and only if their account has a low trust level."""
    # Texts that don't tell the classes apart.
    write_comments(tmp_path / "corpora", [(f"{TEXT} {i}", i % 2 == 1) for i in range(200)])
    views = write_definitions(tmp_path / "views")
    # The newest values are the other way round, so training has to take those of the time.
    then: list[TrustRow] = [(f"a{i}", START - 1, START - 1, level(i), None, None) for i in range(N)]
    later = START + 10 * clock.DAY
    now: list[TrustRow] = [(f"a{i}", later, later, GOOD + BAD - level(i), None, None) for i in range(N)]
    write_history(views, [*then, *now])
    made = load_settings(home=tmp_path / "home", corpora=tmp_path / "corpora", feature_views=views)
    migrate(made)
    engine = open_engine(made)
    apply_views(made, engine)
    events = []
    for i in range(N):
        comment, at = SubjectRef("comment", f"c{i}"), START + i * clock.MINUTE
        verdict = "violating" if level(i) == BAD else "not_violating"
        events.append(RecordedEvent(f"i{i}", at, at, ItemCreated(comment, f"a{i}", text=f"{TEXT} {i}")))
        decided = DecisionMade(comment, "spam", verdict, "human", "r1")
        events.append(RecordedEvent(f"d{i}", at + clock.SECOND, at + clock.SECOND, decided))
    with engine.begin() as connection:
        event_log.append_recorded(connection, "test", events)
    with closing(LiveRows(made, engine, WHOLE)) as worker:
        worker.run_to_head()
    engine.dispose()
    return made


def test_a_column_of_an_own_view_is_learned_point_in_time_and_served(settings: Settings, tmp_path: Path) -> None:
    train(settings, load_policies(POLICIES_FILE), "spam")
    version = load(MlflowRegistry(settings).fetch("spam", "1", tmp_path))
    names = version.contract.names
    assert "trust:level" in names
    assert "trust level" in (version.folder / "model_card.md").read_text()

    engine = open_engine(settings)
    as_of = START + clock.DAY
    with closing(open_reader(settings)) as reader:
        materialize(settings, reader.fetch([]).features.views, clock_=lambda: as_of)
        fetched = reader.fetch([Subject("comment", f"c{i}") for i in range(N)])
    engine.dispose()
    at = np.full(N, as_of, dtype=np.int64)
    texts = [f"{TEXT} {i}" for i in range(N)]
    matrix = evaluate(version.contract, fetched.packed, at, texts, fetched.features).matrix
    found = matrix[:, names.index("trust:level")]
    np.testing.assert_array_equal(found, [level(i) for i in range(N)])
    scores = version.score(matrix, texts).score
    assert scores[found == BAD].min() > scores[found == GOOD].max()

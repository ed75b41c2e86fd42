"""A version that needs a feature which isn't live any more: its harm fails alone, and says what to do."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from features.declared.generations import compiled
from leads import clock
from leads.errors import Unavailable
from leads.events import Subject
from leads.settings import Settings
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import SubjectError, SubjectScore
from serving.versions import verification
from tests.support.features.declared.generations import declared
from tests.support.serving.world import SPAM_TEXT, make_runtime, publish

NOW = clock.from_text("2026-03-01T12:00:00Z")


def test_it_is_an_error_of_each_subject_under_its_harm_only(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(settings, "spam", features=compiled(declared(), 3))
    publish(settings, "harassment")
    # It was checked while its features were live.
    monkeypatch.setattr(verification, "check_contract", lambda *given: None)
    runtime = make_runtime(settings, engine)
    requests = [ScoreRequest(Subject("comment", f"c{i}"), text=SPAM_TEXT) for i in range(2)]
    found = runtime.scorer.score(requests, NOW, "api").records()
    errors = [one for one in found if isinstance(one, SubjectError)]
    assert [(one.subject.id, one.harm) for one in errors] == [("c0", "spam"), ("c1", "spam")]
    assert isinstance(errors[0].error, Unavailable)
    assert "version 1 needs the feature account.follows_7d, which isn't live as it was declared" in str(errors[0].error)
    assert {one.harm for one in found if isinstance(one, SubjectScore)} == {"harassment"}
    runtime.close()

"""Scores of texts in a language that their version never saw are flagged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log
from leads.events import Event, ItemCreated, Subject, SubjectRef
from leads.settings import Settings
from serving.runtime import Runtime
from serving.scoring.inputs import ScoreRequest
from serving.scoring.results import SubjectScore
from serving.scoring.scorer import Scorer
from serving.scoring.texts import cache as text_cache
from tests.support.serving.world import POLICIES, make_runtime, publish

NOW = clock.from_text("2026-03-01T12:00:00Z")
ENGLISH = "Please stop posting the same comment under every episode."
GERMAN = "Bitte hör auf, unter jeder Folge denselben Kommentar zu schreiben."
FRENCH = "Arrêtez de poster le même commentaire sous chaque épisode."
RECORDED = {"en": 300, "de": 20, "fr": 19, "und": 40}
LANGUAGES = {"comment": ("language",)}


@pytest.fixture
def recorded(settings: Settings, engine: Engine) -> Iterator[Runtime]:
    """`spam` has a champion that recorded its languages; `sexism`, one of an earlier release, which recorded none."""
    publish(settings, "spam", languages=RECORDED)
    publish(settings, "sexism")
    opened = make_runtime(settings, engine)
    yield opened
    opened.close()


def tell(engine: Engine, id_: str, text: str, **fields: Any) -> Subject:
    body = ItemCreated(SubjectRef("comment", id_), "a1", text=text, fields=fields)
    with engine.begin() as connection:
        event_log.append(connection, "test", [Event(f"e-{id_}", NOW, body)], clock_=lambda: NOW)
    return Subject("comment", id_)


def flagged(scorer: Scorer, *requests: ScoreRequest) -> list[set[str]]:
    """For each request, the harms whose score has the flag."""
    found: list[set[str]] = [set() for _ in requests]
    for group in scorer.score(requests, NOW, "api").groups:
        for place, record in zip(group.group.places, group.records(), strict=True):
            assert isinstance(record, SubjectScore)
            if "language_unseen" in record.degraded:
                found[place].add(record.harm)
    return found


def test_a_language_that_the_version_never_saw_is_flagged(recorded: Runtime, engine: Engine) -> None:
    subjects = [tell(engine, f"c{i}", text) for i, text in enumerate((ENGLISH, GERMAN, FRENCH, "lol", ""))]
    requests = [ScoreRequest(subject) for subject in subjects]
    new = ScoreRequest(Subject("comment", "new"), text=FRENCH)
    for _ in range(2):
        assert flagged(recorded.scorer, *requests, new) == [set(), set(), {"spam"}, set(), set(), {"spam"}]
    assert flagged(recorded.scorer, *[ScoreRequest(one, harms=("spam",)) for one in subjects[2:]]) == [
        {"spam"},
        set(),
        set(),
    ]


def test_what_an_item_or_a_request_states_takes_precedence(recorded: Runtime, engine: Engine) -> None:
    scorer = Scorer(engine, POLICIES, recorded.reader, recorded.published, recorded.predictions, languages=LANGUAGES)
    japanese, english = tell(engine, "c1", ENGLISH, language="ja"), tell(engine, "c2", FRENCH, language="en-GB")
    detected, empty = tell(engine, "c3", FRENCH), tell(engine, "c4", "", language="ja")
    asked = [
        *map(ScoreRequest, (japanese, english, detected, empty)),
        ScoreRequest(japanese, fields={"language": "en"}),
        ScoreRequest(english, fields={"language": "ja"}),
        ScoreRequest(english, text=GERMAN, fields={"language": "zxx"}),
        ScoreRequest(Subject("comment", "new"), text=ENGLISH, fields={"language": "fr"}),
    ]
    spam = {"spam"}
    assert flagged(scorer, *asked) == [spam, set(), spam, set(), set(), spam, set(), spam]
    # Without the declaration it is only a field.
    assert flagged(recorded.scorer, asked[0]) == [set()]


def test_a_text_is_detected_once_and_only_if_a_version_needs_it(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    detected: list[str] = []

    def count(text: str) -> str:
        detected.append(text)
        return "fr"

    monkeypatch.setattr(text_cache, "language_of", count)
    subject = tell(engine, "c1", FRENCH)
    publish(settings, "spam", version="1")
    publish(settings, "sexism", version="1")
    earlier = make_runtime(settings, engine)
    assert flagged(earlier.scorer, ScoreRequest(subject)) == [set()]
    assert detected == []
    earlier.close()
    publish(settings, "spam", version="2", languages=RECORDED)
    publish(settings, "sexism", version="2", languages=RECORDED)
    later = make_runtime(settings, engine)
    for _ in range(2):
        assert flagged(later.scorer, *[ScoreRequest(subject)] * 2) == [{"spam", "sexism"}] * 2
    assert detected == [FRENCH]
    later.close()

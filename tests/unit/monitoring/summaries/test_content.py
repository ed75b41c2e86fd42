"""Of an hour's subjects, always the same sample is described, and what is described stays aligned with them."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from leads.db import event_log
from leads.events import Event, ItemCreated, Subject, SubjectRef
from models.text.description import LANGUAGE, LENGTH, VOCABULARY
from monitoring.summaries import content
from monitoring.summaries.content import Content, sampled
from tests.support.declared import PLATFORM

AT = 1_750_000_000_000_000
GERMAN = "Das Lied ist wirklich schön."


def subjects(n: int) -> list[Subject]:
    return [Subject("comment", f"c{i}") for i in range(n)]


def put(engine: Engine, n: int) -> None:
    events = [
        Event(
            f"e{i}",
            AT,
            ItemCreated(SubjectRef("comment", f"c{i}"), "a1", text="Das Lied ist wirklich schön." * (i + 1)),
        )
        for i in range(n)
    ]
    with engine.begin() as connection:
        event_log.append(connection, "test", events, clock_=lambda: AT)


def test_subjects_are_described_where_they_are(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    put(engine, 10)
    monkeypatch.setattr(content, "SAMPLED", 4)
    found = Content(engine, PLATFORM)(subjects(10))
    chosen = sampled(subjects(10))
    assert len(chosen) == 4
    lengths = found.numbers[LENGTH]
    assert np.flatnonzero(np.isfinite(lengths)).tolist() == chosen
    assert lengths[chosen].tolist() == [28.0 * (i + 1) for i in chosen]
    assert [i for i, language in enumerate(found.categories[LANGUAGE]) if language == "de"] == chosen
    assert [i for i, words in enumerate(found.words[VOCABULARY]) if words] == chosen


def test_the_same_subjects_are_chosen_whatever_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SAMPLED", 5)
    forward, backward = subjects(50), subjects(50)[::-1]
    assert {forward[i] for i in sampled(forward)} == {backward[i] for i in sampled(backward)}


def test_unknown_subjects_have_no_values(engine: Engine) -> None:
    found = Content(engine, PLATFORM)(subjects(3))
    assert found.categories[LANGUAGE] == [None] * 3
    assert np.isnan(found.numbers[LENGTH]).all()
    assert Content(engine, PLATFORM)([]).numbers == {}

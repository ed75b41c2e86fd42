"""The content that subjects hold now: both ways to read it agree, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from leads import clock
from leads.db import event_log
from leads.db.content.stored_items import StoredItems
from leads.db.engine import reading, unchecked_engine
from leads.db.items import current_items
from leads.errors import Unavailable
from leads.events import Event, ItemCreated, SignalReceived, Subject, SubjectRef
from leads.settings import Settings, load_settings

NOW = clock.from_text("2026-03-01T12:00:00Z")


def test_the_newest_content_is_read_in_both_ways(any_engine: Engine) -> None:
    bodies = [
        ItemCreated(SubjectRef("comment", "c1"), account_id="a1", parent=SubjectRef("track", "t1"), text="first"),
        ItemCreated(SubjectRef("comment", "c1"), account_id="a2", text="edited: 这首歌很好听"),
        ItemCreated(SubjectRef("track", "c1"), duration_s=3.5),
        SignalReceived(SubjectRef("comment", "c2"), "user_report", "app"),
        *(ItemCreated(SubjectRef("comment", f"many{i}"), text=str(i)) for i in range(2_100)),
    ]
    with any_engine.begin() as connection:
        event_log.append(
            connection, "test", [Event(f"e{i}", NOW, body) for i, body in enumerate(bodies)], clock_=lambda: NOW
        )
    asked = [Subject("comment", "c1"), Subject("track", "c1"), Subject("comment", "c2"), Subject("comment", "'; --")]
    asked += [Subject("comment", f"many{i}") for i in range(2_100)]
    found = StoredItems(any_engine, lambda item: item).of(asked)
    with reading(any_engine) as connection:
        assert found == current_items(connection, asked)
    assert found[Subject("comment", "c1")] == bodies[1]
    assert len(found) == 2_102
    assert StoredItems(any_engine, lambda item: item).of([]) == {}


def test_a_missing_database_raises_unavailable(settings: Settings, tmp_path: Path) -> None:
    engine = unchecked_engine(load_settings(home=tmp_path / "never", corpora=Path()))
    with pytest.raises(Unavailable, match="database"):
        StoredItems(engine, lambda item: item).of([Subject("comment", "c1")])
    engine.dispose()

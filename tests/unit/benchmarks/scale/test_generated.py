"""Generated items are in both stores, as if they had been folded, and new events about them are folded on top."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.homes import sqlite_settings
from benchmarks.scale import events, folding, frames, generated
from features.declared.builtin import BUILTIN, ITEM
from features.layout import HEADER
from features.online.reader import open_reader
from features.partition import WHOLE
from features.state.fence import new_owner
from features.state_stores import open_state
from leads.events import ACCOUNT, Subject
from leads.settings import Settings

pytestmark = pytest.mark.slow

ITEMS, LOG, NEW = 200, 600, 300


def stored(settings: Settings) -> tuple[int, dict[str, bytes], dict[str, bytes]]:
    """The position of the state, its rows of items, and what its router knows about items."""
    with closing(open_state(settings, WHOLE, BUILTIN, owner=new_owner())) as state:
        views = [{k: v for part in state.scan(view) for k, v in part.items()} for view in (ITEM.view, "routed_item")]
        return state.position(), *views


def test_generated_items_are_folded_on(tmp_path: Path) -> None:
    settings = sqlite_settings(tmp_path)
    events.append(settings, events.history(LOG), "a log")
    folding.fold(settings)
    pairs = list(frames.drawn_pairs(settings, LOG, 20))
    assert [subject.type_id for subject, _ in pairs] == [ACCOUNT] * 10 + ["comment"] * 10
    assert all(events.START <= at < events.END for _, at in pairs)

    position, rows, routed = stored(settings)
    generated.fill(settings, ITEMS)
    filled = stored(settings)
    assert filled[0] == position == LOG
    assert len(filled[1]) - len(rows) == ITEMS
    # The router knows comments only: tracks are played, but never created.
    assert len(filled[2]) - len(routed) == ITEMS * 9 // 10

    events.append(settings, events.about(ITEMS, NEW, events.END, touched=ITEMS), "events about them")
    assert folding.fold(settings)["events"] == NEW
    after = stored(settings)
    assert after[0] == LOG + NEW
    # Nothing but generated items was touched, and most of these were.
    assert after[1].keys() == filled[1].keys()
    changed = {key for key, row in after[1].items() if row != filled[1][key]}
    assert len(changed) > 20
    assert changed.isdisjoint(rows)

    with closing(open_reader(settings)) as reader:
        subjects = [Subject.of_key(key) for key in sorted(filled[1].keys() - rows.keys())]
        item = reader.fetch(subjects).packed["item"]
    assert item.shape == (ITEMS, ITEM.width)
    assert (item[:, HEADER:] > 0).any(axis=1).all()

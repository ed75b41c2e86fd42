"""The events that the scale benchmark appends."""

from __future__ import annotations

from collections import Counter

from benchmarks.scale import events
from leads.events import DecisionMade, ItemCreated, Played, SignalReceived


def test_a_larger_log_has_more_events_in_the_same_time() -> None:
    for size in (1_000, 4_000):
        made = list(events.history(size))
        assert len(made) == size
        assert events.START == made[0].visible_at < made[-1].visible_at < events.END


def test_later_events_come_at_the_same_pace_whatever_the_size() -> None:
    spans = []
    for size in (1_000, 4_000):
        before, after = list(events.history(size)), list(events.later(size, 500))
        spans.append(after[-1].visible_at - after[0].visible_at)
        assert after[0].visible_at > before[-1].visible_at
        assert {one.id for one in before}.isdisjoint(one.id for one in after)
    assert spans[0] == spans[1]


def test_events_about_generated_items_touch_only_those() -> None:
    kinds: Counter[type] = Counter()
    for recorded in events.about(1_000, 2_000, events.END, touched=500):
        body = recorded.body
        kinds[type(body)] += 1
        number = int(body.subject.id[1:])
        assert body.subject.id == events.item_id(number)
        assert number < 1_000
        is_track = number % events.ITEMS_PER_TRACK == 0
        assert body.subject.type_id == ("track" if is_track else "comment")
    numbers = [
        {int(one.body.subject.id[1:]) for one in events.about(items, 2_000, events.END, touched=1_000)}
        for items in (1_000, 100_000)
    ]
    # As many different items, spread over all of them.
    assert len(numbers[1]) >= len(numbers[0]) > 300
    assert max(numbers[1]) > 90_000
    assert kinds.keys() == {Played, ItemCreated, SignalReceived, DecisionMade}

"""Worked examples: for every feature, a short story and the value that a reviewer would count by hand."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

from features.contract import Column, FeatureContract
from features.declared.builtin import BUILTIN, ROLES
from features.evaluate.columns import evaluate
from features.evaluate.plan import text_counts
from features.layout import missing
from features.text_features import TEXT
from leads import clock
from leads.events import DecisionMade, Event, ItemCreated, LoggedEvent, Played, SignalReceived, Subject, SubjectRef
from tests.support.features.folding import fold, values_of

# A Sunday, 12:02: the current hour is two minutes old.
NOW = clock.from_text("2026-03-15T12:02:00Z")
MINUTE, HOUR, DAY = clock.MINUTE, clock.HOUR, clock.DAY
COMMENT, TRACK = SubjectRef("comment", "c1"), SubjectRef("track", "t1")
COPY = "Visit my channel for free beats"
OTHER = "What a lovely voice she has in this one"


class Story:
    """Events by how long ago they occurred."""

    def __init__(self) -> None:
        self._events: list[tuple[int, object]] = []

    def add(self, ago: int, *bodies: object) -> Story:
        self._events += [(NOW - ago, body) for body in bodies]
        return self

    def played(
        self, ago: int, account: str, seconds: float = 200, track: SubjectRef = TRACK, device: str = "d1"
    ) -> Story:
        return self.add(ago, Played(track, account, seconds, device))

    def values(self, subject: SubjectRef) -> dict[str, float]:
        numbers = count(1)
        logged = [
            LoggedEvent(n := next(numbers), at + n, Event(f"e{n}", at, body))  # type: ignore[arg-type]
            for at, body in sorted(self._events, key=lambda event: event[0])
        ]
        row = values_of(fold(logged), [Subject(subject.type_id, subject.id)], NOW + 100)[0]
        return dict(zip((feature.name for feature in BUILTIN.defaults), row.tolist(), strict=True))


def comment(name: str, account: str = "a1", text: str = OTHER, parent: SubjectRef = TRACK) -> ItemCreated:
    return ItemCreated(SubjectRef("comment", name), account_id=account, parent=parent, text=text)


def report(reporter: str | None, on: SubjectRef = COMMENT) -> SignalReceived:
    return SignalReceived(on, "user_report", "app", reporter_id=reporter)


def verdict(what: str, on: SubjectRef = COMMENT, by: str = "human") -> DecisionMade:
    return DecisionMade(on, "spam", what, by, "r1")  # type: ignore[arg-type]


def reported_track() -> tuple[SubjectRef, Story]:
    """A track two days old, edited once, played mostly by one listener, reported by three accounts.

    r1 was right once before, so its report weighs 2/3, rounded to 43/64; the other reports weigh 1/2.
    """
    story = Story()
    story.add(20 * DAY, comment("old", "a9"), report("r1", SubjectRef("comment", "old")))
    story.add(19 * DAY, verdict("violating", SubjectRef("comment", "old")))
    story.add(2 * DAY, ItemCreated(TRACK, account_id="a1", text="Song"))
    story.add(1 * DAY, ItemCreated(TRACK, account_id="a1", text="Song (live)"))
    story.played(3 * DAY - 2 * HOUR, "a2")
    story.played(5 * HOUR, "a2", 31).played(4 * HOUR, "a2", 35).played(30 * MINUTE, "a2").played(20 * MINUTE, "a3")
    story.add(40 * DAY, report("r9", TRACK))
    story.add(3 * DAY, report("r2", TRACK))
    story.add(6 * HOUR, report("r2", TRACK)).add(2 * HOUR, report("r3", TRACK)).add(10 * MINUTE, report("r1", TRACK))
    for kind in ("trusted_flagger", "hash_match", "hash_match"):
        story.add(HOUR, SignalReceived(TRACK, kind, "partner"))
    for score in (0.25, 0.75, 0.5):
        story.add(HOUR, SignalReceived(TRACK, "classifier", "partner", score=score))
    return TRACK, story


ITEM = {
    "item.age_h": 40 * 24,  # first heard of by the report of 40 days ago
    "item.versions": 2,
    "item.plays_1h": 2,
    "item.plays_24h": 4,
    "item.plays_7d": 5,
    "item.play_velocity": 12,  # 2 an hour against 4 a day
    "item.listeners_24h": 2,
    "item.plays_per_listener_24h": 2,
    "item.short_share_24h": 0.5,
    "item.reports_1h": 1,
    "item.reports_24h": 3,
    "item.reports_7d": 4,
    "item.reports_90d": 5,
    "item.reporters_7d": 3,
    "item.reliable_reports_7d": 3 * 0.5 + 43 / 64,
    "item.report_surge": 3 / (1 + 1 / 6),
    "item.report_rate_24h": 60,  # 3 reports, 4 plays and one more
    "item.notices": 1,
    "item.hash_matches": 2,
    "item.classifier_score": 0.75,
}


def spamming_account() -> tuple[SubjectRef, Story]:
    """An account with five comments, three of them alike and within the hour, two strikes, some plays at night."""
    story = Story().add(30 * DAY, ItemCreated(SubjectRef("account", "a1")))
    links = COPY + " https://x.io"
    story.add(20 * DAY, comment("c1"))
    story.add(2 * DAY, comment("c2", parent=SubjectRef("track", "t2")))
    story.add(40 * MINUTE, comment("c3", text=links)).add(30 * MINUTE, comment("c4", text=links))
    story.add(20 * MINUTE, comment("c5", text=links, parent=SubjectRef("track", "t3")))
    story.add(20 * DAY, report("r1")).add(3 * DAY, report("r1", SubjectRef("comment", "c2")))
    story.add(10 * MINUTE, report("r2", SubjectRef("comment", "c3")))
    story.add(10 * MINUTE, SignalReceived(SubjectRef("comment", "c3"), "trusted_flagger", "ngo"))
    for name, what in (("c1", "violating"), ("c2", "violating"), ("c3", "violating"), ("c4", "not_violating")):
        story.add(9 * MINUTE, verdict(what, SubjectRef("comment", name)))
    # A granted appeal removes the strike.
    story.add(8 * MINUTE, verdict("not_violating", SubjectRef("comment", "c3")))
    story.played(20 * DAY, "a1", device="d2")
    # At 02:02 and 03:02 the same day, and twelve hours before those.
    story.played(10 * HOUR, "a1", 31).played(9 * HOUR, "a1", 32)
    story.played(22 * HOUR, "a1").played(21 * HOUR, "a1", track=SubjectRef("track", "t2"), device="d3")
    story.played(2 * DAY, "a1").played(5 * MINUTE, "a1", 30)
    for i in range(3):
        story.add((i + 1) * DAY, report("a1", SubjectRef("comment", f"x{i}")))
        story.add(HOUR, verdict("violating" if i else "not_violating", SubjectRef("comment", f"x{i}")))
    return SubjectRef("account", "a1"), story


ACCOUNT = {
    "account.age_h": 30 * 24,
    "account.items_1h": 3,
    "account.items_24h": 3,
    "account.items_7d": 4,
    "account.items_90d": 5,
    "account.item_velocity": 3 * 168 / 4,
    "account.parents_24h": 2,
    "account.texts_7d": 2,
    "account.items_per_text_7d": 2,
    "account.link_share_7d": 0.75,
    "account.reports_24h": 1,
    "account.reports_7d": 2,
    "account.reports_90d": 3,
    "account.reporters_7d": 2,
    "account.notices_90d": 1,
    "account.strikes": 2,
    "account.strikes_90d": 2,
    "account.cleared": 2,
    "account.strike_share": 0.5,
    "account.plays_1h": 1,
    "account.plays_24h": 5,
    "account.plays_7d": 6,
    "account.plays_90d": 7,
    "account.tracks_24h": 2,
    # One play in six fell on another track: -(1/6 lb 1/6 + 5/6 lb 5/6).
    "account.track_entropy_7d": 0.65,
    "account.short_share_24h": 0.6,
    "account.short_share_7d": 0.5,
    "account.night_share_7d": 2 / 6,
    "account.devices_7d": 2,
    "account.reports_made_7d": 3,
    "account.report_reliability": 3 / 5,  # two confirmed, one rejected, and one of each to begin with
}


def crowded_track() -> tuple[SubjectRef, Story]:
    """Five comments by four accounts under one track, two of them in the last hour, one reported."""
    story = Story().add(2 * DAY, comment("c0", "a9")).add(5 * HOUR, comment("c1", "a1"), comment("c2", "a2"))
    story.add(30 * MINUTE, comment("c3", "a1")).add(10 * MINUTE, comment("c4", "a3"))
    story.add(5 * MINUTE, report("r1")).add(2 * DAY, report("r1", SubjectRef("comment", "c0")))
    return COMMENT, story


PARENT = {"parent.children_1h": 2, "parent.children_24h": 4, "parent.accounts_24h": 3, "parent.reports_24h": 1}


def copied_text() -> tuple[SubjectRef, Story]:
    """Nearly the same text from three accounts, four times; one copy was found violating, another reported twice."""
    story = Story()
    story.add(3 * DAY, comment("c0", "a1", COPY.upper())).add(2 * HOUR, comment("c1", "a2", COPY + "!!!"))
    story.add(HOUR, comment("c2", "a3", "visit my  channel for FREE beats 123"), comment("c3", "a3", COPY))
    story.add(HOUR, comment("c4", "a4", OTHER))
    story.add(2 * DAY, verdict("violating", SubjectRef("comment", "c0")))
    story.add(MINUTE, report("r1", SubjectRef("comment", "c2")), report(None, SubjectRef("comment", "c2")))
    return COMMENT, story


BUCKET = {
    "bucket.items_24h": 3,
    "bucket.items_7d": 4,
    "bucket.accounts_24h": 2,
    "bucket.accounts_7d": 3,
    "bucket.reports_7d": 2,
    "bucket.violations_90d": 1,
}


def shared_device() -> tuple[SubjectRef, Story]:
    """Four accounts on one device this week, three of them today."""
    story = Story().played(3 * DAY, "a4").played(5 * HOUR, "a2").played(4 * HOUR, "a3").played(3 * HOUR, "a1")
    return SubjectRef("account", "a1"), story


DEVICE = {"device.accounts_24h": 3, "device.accounts_7d": 4, "device.plays_24h": 3}

STORIES = [
    (reported_track, ITEM),
    (spamming_account, ACCOUNT),
    (crowded_track, PARENT),
    (copied_text, BUCKET),
    (shared_device, DEVICE),
]

TEXTS = {
    "text.chars": ("Hello you", 9),
    "text.words": ("Buy it, now!", 3),
    "text.urls": ("see https://www.a.io/x and b.com", 2),
    "text.upper_share": ("ABcd", 0.5),
    "text.digit_share": ("a1b2", 0.5),
    "text.punctuation_share": ("a!b?", 0.5),
    "text.repeats": ("soooo coool", 2),
}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story[0].__name__)
def test_stories_give_the_values_counted_by_hand(story: tuple[object, dict[str, float]]) -> None:
    subject, told = story[0]()  # type: ignore[operator]
    values = told.values(subject)
    found = {name: values[name] for name in story[1]}
    assert found == pytest.approx(story[1], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", TEXTS)
def test_texts_give_the_values_counted_by_hand(name: str) -> None:
    text, value = TEXTS[name]
    (feature,) = [feature for feature in TEXT if feature.name == name]
    assert feature.compute(text) == value
    assert np.isfinite(feature.compute(""))


def test_only_what_is_visible_is_counted() -> None:
    hidden = text_counts(["\u2067B\u00aduy\u3164 it, ht\u200btp://a.io \U000e0042\ufeff"])
    assert hidden.tobytes() == text_counts(["Buy it, http://a.io "]).tobytes()


def test_a_text_of_which_nothing_is_visible_has_no_counts() -> None:
    assert np.isnan(text_counts([None, "", " \n", "\u2067\u3164 \u2800"])).all()
    contract = FeatureContract("test", (Column("text.chars", when_missing="refuse"),), "")
    assert evaluate(contract, missing(ROLES, 2), np.zeros(2, np.int64), ["\u2067", "a"]).refused.tolist() == [0, -1]


def test_a_link_with_invisible_characters_is_a_link() -> None:
    values = Story().add(MINUTE, comment("c1", text="ht\u200btps\u2060://a.io")).values(SubjectRef("account", "a1"))
    assert values["account.link_share_7d"] == 1


def test_every_feature_has_an_example_a_unit_and_a_meaning() -> None:
    examples = [*(name for _, expected in STORIES for name in expected), *TEXTS]
    assert examples == [feature.name for feature in (*BUILTIN.defaults, *TEXT)]
    assert len(BUILTIN.defaults) >= 40
    assert all(feature.unit and feature.meaning for feature in (*BUILTIN.defaults, *TEXT))

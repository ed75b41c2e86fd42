"""The fold against a slow recomputation from the same events, on random histories with lateness, ties and edits."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.columns import STORED, contract_for, evaluate, missing
from features.fold import Fold, Links, links_of
from features.rows import LAYOUTS, visible_at
from leads import clock
from leads.records import (
    DecisionMade,
    Event,
    ItemCreated,
    LoggedEvent,
    Played,
    SignalReceived,
    Subject,
    SubjectRef,
)

START = clock.from_text("2026-03-01T22:00:00Z")
TRACKS = [SubjectRef("track", f"t{i}") for i in range(2)]
COMMENTS = [SubjectRef("comment", f"c{i}") for i in range(3)]
ACCOUNTS = [f"a{i}" for i in range(3)]
# A comment keeps its maker and place, as on a platform.
MAKER = {comment.id: (ACCOUNTS[i % 3], TRACKS[i % 2]) for i, comment in enumerate(COMMENTS)}


def _item(comment: SubjectRef) -> ItemCreated:
    account, track = MAKER[comment.id]
    return ItemCreated(comment, account_id=account, parent=track, text="hello")


bodies = st.one_of(
    st.sampled_from(COMMENTS).map(_item),
    st.sampled_from(ACCOUNTS).map(lambda account: ItemCreated(SubjectRef("account", account))),
    st.builds(
        Played, st.sampled_from(TRACKS), st.sampled_from(ACCOUNTS), st.sampled_from([5.0, 30.0, 33.0, 36.0, 200.0])
    ),
    st.builds(
        SignalReceived,
        st.sampled_from(COMMENTS),
        st.sampled_from(["user_report", "trusted_flagger", "hash_match"]),
        st.just("app"),
    ),
    st.builds(
        DecisionMade,
        st.sampled_from(COMMENTS),
        st.just("spam"),
        st.sampled_from(["violating", "not_violating"]),
        st.just("human"),
        st.just("r1"),
    ),
)
# (seconds since the previous event became visible, seconds it came late): ties, minutes, days; negative = sender ahead.
moves = st.tuples(
    bodies, st.sampled_from([0, 0, 1, 600, 5_000, 90_000, 900_000]), st.sampled_from([-120, 0, 0, 30, 7_200, 172_800])
)


def history(drawn: list[tuple[object, int, int]]) -> list[LoggedEvent]:
    logged, visible = [], START
    for i, (body, wait, late) in enumerate(drawn):
        visible += wait * clock.SECOND + 1
        event = Event(f"e{i}", visible - late * clock.SECOND, body)  # type: ignore[arg-type]
        logged.append(LoggedEvent(i + 1, visible, event))
    return logged


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.lists(moves, min_size=1, max_size=40), st.sampled_from([0, 1, 3_599, 90_000, 700_000]))
def test_the_fold_equals_a_recomputation_from_all_events(drawn: list[tuple[object, int, int]], later: int) -> None:
    events = history(drawn)
    as_of = events[-1].visible_at + later * clock.SECOND
    subjects = [s.subject for s in (*COMMENTS, *TRACKS)] + [Subject("account", a) for a in ACCOUNTS]

    contract = contract_for(text=False)
    got = evaluate(contract, newest_rows(events, subjects), np.full(len(subjects), as_of), [None] * len(subjects))

    for i, subject in enumerate(subjects):
        expected = [brute_force(name, events, subject, as_of) for name in contract.names]
        np.testing.assert_allclose(got[i], expected, rtol=1e-6, err_msg=f"{subject} {contract.names}")


def newest_rows(events: list[LoggedEvent], subjects: list[Subject]) -> dict[str, np.ndarray]:
    fold = Fold()
    for logged in events:
        fold.apply(logged)
    batch = fold.take()
    newest: dict[tuple[str, str], np.ndarray] = {}
    for layout in LAYOUTS:
        values = np.frombuffer(bytes(batch[layout.view].raw), dtype="<f4").reshape(-1, layout.width)
        for key, row in zip(batch[layout.view].keys, values, strict=True):
            newest[layout.view, key] = row
    packed = missing(len(subjects))
    for i, subject in enumerate(subjects):
        links = links_of(subject, {subject.key: fold.links(subject.key)})
        for view, key in (("item", subject.key), ("account", links.account_id), ("parent", links.parent_key)):
            if key is not None and (view, key) in newest:
                packed[view][i] = newest[view, key]
    return packed


def brute_force(name: str, events: list[LoggedEvent], subject: Subject, as_of: int) -> float:
    """The feature from its definition, one event at a time."""
    links = Links(subject.id) if subject.type_id == "account" else Links()
    about_item: list[tuple[int, object]] = []
    about_account: list[tuple[int, object]] = []
    about_parent: list[tuple[int, object]] = []
    for logged in events:
        body = logged.event.body
        if isinstance(body, ItemCreated) and body.subject.subject == subject and subject.type_id != "account":
            links = Links(body.account_id, body.parent.subject.key if body.parent else None)
    known: dict[str, Links] = {}
    for logged in events:
        body, at = logged.event.body, min(logged.event.occurred_at, logged.visible_at)
        key = body.subject.subject.key
        if isinstance(body, ItemCreated):
            is_account = body.subject.type_id == "account"
            known[key] = Links(
                body.subject.id if is_account else body.account_id, body.parent.subject.key if body.parent else None
            )
        if body.subject.subject == subject:
            about_item.append((at, body))
        maker = body.account_id if isinstance(body, Played) else known.get(key, Links()).account_id
        touches_account = not (isinstance(body, DecisionMade) and body.verdict != "violating") and not (
            isinstance(body, SignalReceived) and body.kind != "user_report"
        )
        if maker is not None and maker == links.account_id and touches_account:
            about_account.append((at, body))
        place = known.get(key, Links()).parent_key
        if (
            place is not None
            and place == links.parent_key
            and (isinstance(body, ItemCreated) or (isinstance(body, SignalReceived) and body.kind == "user_report"))
        ):
            about_parent.append((at, body))
    view, _, feature = name.partition(".")
    about = {"item": about_item, "account": about_account, "parent": about_parent}[view]
    return _feature(feature, about, as_of)


def _feature(feature: str, about: list[tuple[int, object]], as_of: int) -> float:
    if not about:
        return math.nan
    hour, day = as_of // clock.HOUR, as_of // clock.DAY

    def count(test: Callable[[object, int], bool], window: str) -> int:
        inside = {
            "24h": lambda at: hour - at // clock.HOUR < 24,
            "7d": lambda at: day - at // clock.DAY < 7,
            "all": lambda at: True,
        }[window]
        return sum(1 for at, body in about if test(body, at) and inside(at))

    kind = {
        "plays": lambda body, at: isinstance(body, Played),
        "short": lambda body, at: isinstance(body, Played) and 30 <= body.seconds < 36,
        "night": lambda body, at: isinstance(body, Played) and at // clock.HOUR % 24 < 6,
        "reports": lambda body, at: isinstance(body, SignalReceived) and body.kind == "user_report",
        "notices": lambda body, at: isinstance(body, SignalReceived) and body.kind == "trusted_flagger",
        "hash_matches": lambda body, at: isinstance(body, SignalReceived) and body.kind == "hash_match",
        "versions": lambda body, at: isinstance(body, ItemCreated),
        "items": lambda body, at: isinstance(body, ItemCreated) and body.subject.type_id != "account",
        "children": lambda body, at: isinstance(body, ItemCreated),
        "strikes": lambda body, at: isinstance(body, DecisionMade) and body.verdict == "violating",
    }
    if feature == "age_h":
        return max((as_of // clock.SECOND - min(at for at, _ in about) // clock.SECOND) / 3_600, 0)
    if feature in ("short_share_7d", "night_share_7d"):
        plays = count(kind["plays"], "7d")
        return count(kind[feature.split("_")[0]], "7d") / plays if plays else math.nan
    counter, _, window = feature.rpartition("_")
    if window in ("24h", "7d"):
        return count(kind[counter], window)
    return count(kind[feature], "all")


def test_every_stored_feature_has_unit_and_meaning() -> None:
    assert all(feature.unit and feature.meaning for feature in STORED)
    assert len({feature.name for feature in STORED}) == len(STORED)


def test_an_account_that_goes_quiet_decays_without_any_event() -> None:
    track = TRACKS[0]
    events = history([(Played(track, "a0", 33.0), 0, 0) for _ in range(10)])
    subject = [Subject("account", "a0")]
    packed = newest_rows(events, subject)
    names = contract_for(text=False).names

    def plays(column: str, days: float) -> float:
        as_of = np.array([events[-1].visible_at + int(days * clock.DAY)])
        return float(evaluate(contract_for(text=False), packed, as_of, [None])[0, names.index(column)])

    assert [plays("account.plays_24h", days) for days in (0, 0.9, 1.1, 30)] == [10, 10, 0, 0]
    assert [plays("account.plays_7d", days) for days in (0, 5, 8)] == [10, 10, 0]


@pytest.mark.parametrize("late_days", [0, 2, 8])
def test_a_late_event_counts_in_its_own_window_and_always_in_the_total(late_days: int) -> None:
    report = SignalReceived(COMMENTS[0], "user_report", "app")
    events = history([(_item(COMMENTS[0]), 0, 0), (report, 0, late_days * 86_400)])
    packed = newest_rows(events, [COMMENTS[0].subject])
    row = packed["item"][0]
    layout = LAYOUTS[0]
    assert row[layout.total("reports")] == 1
    assert row[layout.hours("reports") : layout.hours("reports") + 24].sum() == (late_days == 0)
    assert row[layout.days("reports") : layout.days("reports") + 7].sum() == (late_days < 7)


def test_a_row_names_the_microsecond_its_newest_event_became_visible() -> None:
    events = history([(_item(COMMENTS[0]), 17, 0)])
    packed = newest_rows(events, [COMMENTS[0].subject])
    assert visible_at(packed["item"]).tolist() == [events[-1].visible_at]
    assert visible_at(missing(1)["item"]).tolist() == [0]

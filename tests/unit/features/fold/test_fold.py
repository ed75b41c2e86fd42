"""Properties of the fold besides its values: one row per entity and event, partitions, rules, late events."""

from __future__ import annotations

import random
import warnings

import msgspec
import numpy as np
import pytest

from features.declared.builtin import ACCOUNT, BUCKET, BUILTIN, ROLES
from features.declared.row_update import Amounts, RowUpdate
from features.evaluate.columns import contract_for, evaluate
from features.fold.counting import RowWriter, stamp
from features.fold.fold import Fold
from features.fold.near_text import buckets
from features.layout import DAY_S, HEADER, VISIBLE, missing
from features.partition import Partition
from features.state.sqlite import SqliteState
from leads import clock
from leads.events import DecisionMade, Event, ItemCreated, LoggedEvent, Played, SignalReceived, SubjectRef
from leads.policies import FeatureRule
from tests.support.features.folding import fold, newest, packed_of
from tests.support.features.random_history import SUBJECTS, history

EVENTS = history(11, 600)
AS_OF = EVENTS[-1].visible_at + 3 * clock.HOUR
TEXTS = ["Some text, with 2 numbers", None] * (len(SUBJECTS) // 2)


def test_an_event_makes_one_row_per_entity_with_its_exact_time() -> None:
    for rows in fold(EVENTS).values():
        assert len(set(zip(rows.keys, rows.offsets, strict=True))) == len(rows)
    for view, key in list(newest(fold(EVENTS)))[:50]:
        row, _ = newest(fold(EVENTS[:300])).get((view, key), (None, ()))
        if row is not None:
            day, second, micro = row[VISIBLE:HEADER].astype(np.int64).tolist()
            assert (day * DAY_S + second) * clock.SECOND + micro in {logged.visible_at for logged in EVENTS}


@pytest.mark.parametrize("parts", [2, 3])
def test_partitions_together_make_the_rows_of_one_fold(parts: int) -> None:
    shares = [fold(EVENTS, Partition(i, parts)) for i in range(parts)]
    assert all(sum(map(len, share.values())) for share in shares)
    for view, rows in fold(EVENTS).items():
        whole = list(zip(rows.keys, rows.offsets, rows.rows, strict=True))
        split = [
            one for share in shares for one in zip(share[view].keys, share[view].offsets, share[view].rows, strict=True)
        ]
        assert sorted(split) == sorted(whole)


def test_one_row_evaluates_as_in_a_batch() -> None:
    contract = contract_for(text=True)
    packed = packed_of(fold(EVENTS), SUBJECTS)
    many = {role: np.tile(rows, (70, 1)) for role, rows in packed.items()}
    at = np.full(70 * len(SUBJECTS), AS_OF)
    bulk = evaluate(contract, many, at, TEXTS * 70).matrix
    for i in range(len(SUBJECTS)):
        alone = evaluate(contract, {role: rows[i : i + 1] for role, rows in packed.items()}, at[:1], TEXTS[i : i + 1])
        np.testing.assert_array_equal(alone.matrix[0], bulk[i])
        np.testing.assert_array_equal(alone.matrix[0], bulk[-len(SUBJECTS) + i])


def test_unknown_subjects_give_nan_without_warnings() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate(contract_for(text=True), missing(ROLES, 3), np.full(3, AS_OF), [None] * 3)
    assert np.isnan(found.matrix).all()
    assert (found.refused == -1).all()
    assert evaluate(contract_for(text=True), missing(ROLES, 0), np.empty(0, np.int64), []).matrix.shape[0] == 0


def rule(match: str, **given: object) -> FeatureRule:
    return FeatureRule.model_validate({"match": match, **given})


def test_rules_are_applied_to_missing_and_old_values() -> None:
    packed = packed_of(fold(EVENTS), SUBJECTS)
    at = np.full(len(SUBJECTS), AS_OF)
    plain = evaluate(contract_for(text=True), packed, at, TEXTS).matrix
    contract = contract_for(
        text=True,
        rules=(
            rule("item.age_h", max_age_days=1e-6, when_missing="default", default=-5),
            rule("account.strikes", when_missing="refuse"),
            rule("parent.*", max_age_days=36_000),
            rule("text.*", when_missing="default", default=-1),
        ),
    )
    assert contract.hash != contract_for(text=True).hash
    found = evaluate(contract, packed, at, TEXTS)
    names = list(contract.names)
    assert (found.matrix[:, names.index("item.age_h")] == -5).all()
    assert (found.matrix[1::2, names.index("text.chars")] == -1).all()
    no_account = np.isnan(packed["account"][:, 0])
    assert no_account.any()
    np.testing.assert_array_equal(found.refused == names.index("account.strikes"), no_account)
    np.testing.assert_array_equal(found.too_old, ~np.isnan(packed["item"][:, 0]))
    same = [j for j, name in enumerate(names) if name.partition(".")[0] not in ("item", "text")]
    np.testing.assert_array_equal(found.matrix[:, same], plain[:, same])


def test_a_rule_that_is_not_violated_changes_nothing() -> None:
    packed = packed_of(fold(EVENTS), SUBJECTS)
    at = np.full(len(SUBJECTS), AS_OF)
    ruled = evaluate(contract_for(text=False, rules=(rule("*", max_age_days=30_000),)), packed, at, TEXTS)
    np.testing.assert_array_equal(ruled.matrix, evaluate(contract_for(text=False), packed, at, TEXTS).matrix)
    assert not ruled.too_old.any()


def test_the_history_covers_every_role() -> None:
    packed = packed_of(fold(EVENTS), SUBJECTS)
    assert all(np.isfinite(packed[role]).any() for role in ROLES)


def words(rng: random.Random, n: int) -> list[str]:
    return ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(3, 8))) for _ in range(n)]


def test_copies_share_a_bucket_and_other_texts_do_not() -> None:
    text = "Visit my channel for the best free beats of this summer"
    for copy in (text.upper(), text + "!!! 123", "  " + text.replace(" ", "   "), text.replace("e", "é")):
        assert buckets(copy) == buckets(text)
    rng = random.Random(3)
    texts = {" ".join(words(rng, 12)) for _ in range(300)}
    keys = [key for one in texts for key in buckets(one)]
    assert len(set(keys)) > 0.97 * len(keys)


@pytest.mark.parametrize(
    "text", ["", "hi", "🔥🔥🔥🔥🔥🔥🔥🔥", "123456789012345", "\ud800" * 30, "a" * 20_000, "é" * 20_000]
)
def test_odd_texts_are_accepted(text: str) -> None:
    first, second = buckets(text)
    assert (first is None) == (second is None)


def test_a_changed_word_mostly_keeps_a_bucket() -> None:
    rng = random.Random(4)
    kept = 0
    for _ in range(200):
        text = words(rng, 20)
        changed = [*text[:19], "entirely"]
        kept += bool(set(buckets(" ".join(text))) & set(buckets(" ".join(changed))))
    assert kept > 150


def test_filler_before_a_text_does_not_hide_it() -> None:
    text = "Visit my channel for the best free beats of this summer"
    for filler in (" " * 8_000, "." * 8_000, "\u3164" * 19_000, "https://x.io/" + "a" * 8_000 + " "):
        assert buckets(filler + text) != (None, None)


def test_a_reporter_is_credited_once_for_a_verdict() -> None:
    reporter = SignalReceived(SubjectRef("comment", "c1"), "user_report", "app", reporter_id="r1")
    bodies = [
        ItemCreated(SubjectRef("comment", "c1"), account_id="a1"),
        reporter,
        msgspec.structs.replace(reporter, harm="spam"),
        DecisionMade(SubjectRef("comment", "c1"), "spam", "violating", "human", "r"),
    ]
    folding = Fold(SqliteState(), BUILTIN)
    folding.apply([LoggedEvent(i, AS_OF + i, Event(f"e{i}", AS_OF, body)) for i, body in enumerate(bodies, 1)])
    assert folding.router.reliability("r1") == round(2 / 3 * 64) / 64


def test_an_event_older_than_every_window_counts_as_late_and_in_totals() -> None:
    folding = Fold(SqliteState(), BUILTIN)
    played = Played(SubjectRef("track", "t1"), "a1", 100.0)
    times = (AS_OF, AS_OF - 100 * clock.DAY)
    folding.apply([LoggedEvent(i, AS_OF + i, Event(f"e{i}", at, played)) for i, at in enumerate(times, 1)])
    row, _ = newest(folding.take())["account", "a1"]
    assert row[ACCOUNT.places.cells["late"]] == 1
    assert row[ACCOUNT.places.cells["play by who"]] == 2


def test_an_old_bucket_is_dropped_next_to_a_fresh_one() -> None:
    packed = missing(ROLES, 1)
    for role, age, items in (("bucket_0", 3, 50.0), ("bucket_1", 0, 1.0)):
        writer = RowWriter(BUCKET)
        at = AS_OF - age * clock.DAY
        row = writer.new(at)
        writer.note(row, at)
        writer.apply(row, RowUpdate("bucket", "b", more=Amounts((("post by text", items, at),))), at)
        stamp([row], at)
        packed[role][0] = row.cells
    contract = contract_for(text=False, rules=(rule("bucket.*", max_age_days=1),))
    found = evaluate(contract, packed, np.array([AS_OF]), [None])
    assert found.matrix[0, contract.names.index("bucket.items_7d")] == 1
    assert found.too_old.all()

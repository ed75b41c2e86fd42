"""Re-derived predictions: which texts may have been scored, and how long served rows had been outdated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy.engine import Engine

from features.declared.builtin import BUILTIN, ROLES
from features.evaluate.columns import evaluate
from features.fold.fold import empty_batch
from features.layout import missing
from features.links import Links
from features.offline.segments import Segments
from leads.events import ItemCreated, SubjectRef
from leads.settings import Settings
from leads.text import text_hash
from monitoring.skew.rederive import evaluate_texts, judged_texts, row_lag
from tests.support.skew_parts import AT, CONTRACT, append, batch, logged_of

COMMENT = SubjectRef("comment", "c1")


def test_texts_are_found_by_their_hash_newest_first(engine: Engine) -> None:
    texts = ["Free Money", "another", "free  money", "later"]
    append(engine, *((at, ItemCreated(COMMENT, text=text)) for at, text in enumerate(texts, -3)))
    hashes = [text_hash(text) for text in ("FREE MONEY", "another", "later", "unheard of")]
    found = judged_texts(engine, logged_of(5, text_hash=[*hashes, 0], at=np.full(5, AT - 1)))
    assert found.candidates == [("free  money", "Free Money"), ("another",), ("later",), (None,), (None,)]
    assert found.unknown.tolist() == [False, False, False, True, False]
    assert found.ahead.tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("judged", ["Free Money", "free  money"])
def test_the_text_that_reproduces_the_served_values_is_used(engine: Engine, judged: str) -> None:
    append(
        engine, *((at, ItemCreated(COMMENT, text=text)) for at, text in enumerate(["Free Money", "free  money"], -3))
    )
    one = logged_of(1, text_hash=[text_hash(judged)])
    served = evaluate(CONTRACT, missing(ROLES, 1), one.at, [judged]).matrix
    texts = judged_texts(engine, one)
    assert len(texts.candidates[0]) == 2
    logged = replace(one, vector=served)
    np.testing.assert_array_equal(evaluate_texts(CONTRACT, missing(ROLES, 1), logged, texts), served)
    other = replace(one, vector=served + np.float32(1))
    assert not np.array_equal(evaluate_texts(CONTRACT, missing(ROLES, 1), other, texts), other.vector, equal_nan=True)


def test_lag_counts_from_the_first_newer_row_of_the_same_entity(settings: Settings) -> None:
    segments = Segments(settings.features_dir / "segments")
    segments.prepare()
    none = (None,) * 4
    rows = {
        "item": batch("item", ("comment:c1", -900, none), ("comment:c1", -500, none), ("comment:c2", -800, none)),
        "account": batch("account", ("a1", -700, ("d1",)), ("a1", -600, ("d2",)), ("a2", -650, ("d2",))),
        "device": batch("device", ("d1", -300, ()), ("d1", -200, ()), ("d2", -250, ())),
    }
    segments.write({**empty_batch(BUILTIN), **rows}, 9)
    order = list(ROLES)
    row_at = np.zeros((1, len(order)), np.int64)
    row_at[0, order.index("item")] = AT - 900
    row_at[0, order.index("account")] = AT - 700
    row_at[0, order.index("device")] = AT - 300
    one = logged_of(1, row_at=row_at, links=[Links("a1")])
    outdated = np.array([[role in ("item", "device") for role in order]])
    lags = dict(zip(order, row_lag(settings, one, outdated)[0].tolist(), strict=True))
    assert lags == {"item": 500, "account": 0, "parent": 0, "bucket_0": 0, "bucket_1": 0, "device": 200}
    missing_row = logged_of(1, links=[Links("a1")])
    outdated = np.array([[role == "account" for role in order]])
    assert row_lag(settings, missing_row, outdated)[0, order.index("account")] == 700

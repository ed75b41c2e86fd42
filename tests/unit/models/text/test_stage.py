from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leads.errors import ModelRefused
from models.text import ngrams
from models.text.ngrams import grams
from models.text.stage import Block, TextStage


def stage_for(texts: list[str], seed: int = 0) -> TextStage:
    rng = np.random.default_rng(seed)
    blocks = []
    for found in grams(texts):
        hashes = np.unique(found.hashes)
        n = len(hashes)
        blocks.append(Block(hashes, rng.uniform(1, 4, n).astype(np.float32), rng.normal(size=n).astype(np.float32)))
    return TextStage(*blocks, intercept=-0.25)


STAGE = stage_for(["free money now", "what a lovely song", "money money"])


@given(st.lists(st.one_of(st.none(), st.text(max_size=50), st.sampled_from(["free money", "lovely now"])), max_size=6))
def test_a_text_scores_alone_as_it_does_among_others(texts: list[str | None]) -> None:
    together = STAGE.log_odds(texts)
    assert together.dtype == np.float32
    alone = [STAGE.log_odds([text])[0] for text in texts]
    assert np.array_equal(together, np.array(alone, dtype=np.float32), equal_nan=True)


def test_written_out_by_hand() -> None:
    """One known word, twice, among words alone: its vector has length one, so only its weight counts."""
    word = np.unique(grams(["money"]).words.hashes)
    block = Block(word, np.array([3.0], dtype=np.float32), np.array([2.0], dtype=np.float32))
    none = Block(*(np.empty(0, dtype=kind) for kind in (np.uint64, np.float32, np.float32)))
    stage = TextStage(block, none, intercept=0.5)
    assert stage.log_odds(["money money", "other"]).tolist() == [2.5, 0.5]


def test_without_text_there_are_no_log_odds() -> None:
    assert np.isnan(STAGE.log_odds([None, "", "  \n", "\u200b", "\u2067\u3164\u2800"])).all()
    assert STAGE.log_odds([]).shape == (0,)


def test_unknown_grams_leave_the_intercept() -> None:
    assert STAGE.log_odds(["🔥"])[0] == np.float32(-0.25)


def test_bytes_round_trip_exactly() -> None:
    again = TextStage.from_bytes(STAGE.to_bytes())
    texts = ["free money now", "lovely", "nothing known"]
    assert np.array_equal(again.log_odds(texts), STAGE.log_odds(texts))
    assert again.to_bytes() == STAGE.to_bytes()


@pytest.mark.parametrize("raw", [b"", b"no", STAGE.to_bytes()[:-40], STAGE.to_bytes()[:300]])
def test_bytes_that_hold_none_are_refused(raw: bytes) -> None:
    with pytest.raises(ModelRefused):
        TextStage.from_bytes(raw)


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=50), st.sampled_from(["free money", "lovely now"])), max_size=12),
    st.integers(min_value=1, max_value=200),
)
def test_scores_are_the_same_in_parts_of_any_size(texts: list[str | None], size: int) -> None:
    in_one = STAGE.log_odds(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngrams, "_CHUNK_CHARS", size)
        in_parts = STAGE.log_odds(texts)
    assert in_parts.tobytes() == in_one.tobytes()


def test_memory_does_not_grow_with_the_number_of_long_texts() -> None:
    words = [f"word{i}" for i in range(997)]
    texts = [" ".join(words[(i * j) % 997] for j in range(900)) for i in range(1, 121)]

    def peak(n: int) -> int:
        tracemalloc.start()
        try:
            STAGE.log_odds(texts[:n])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(120) < 1.5 * peak(40)

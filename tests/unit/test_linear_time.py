"""Every step that reads a text takes time linear in its length, whatever the text.

Measured in processor time of this thread, so that busy cores don't matter, with a factor between linear and quadratic.
"""

from __future__ import annotations

import importlib.util
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.declared.builtin import BUILTIN
from features.evaluate.plan import text_counts
from features.fold.near_text import buckets
from features.fold.router import Router
from features.state.sqlite import SqliteState
from leads import clock
from leads.events import Event, ItemCreated, LoggedEvent, SubjectRef
from leads.text import normal_form, plain_form, present
from models.text.minilm import MAX_TOKENS, TOKENIZER
from models.text.ngrams import grams
from models.text.sentence import MODEL_FOLDER, PACKAGE
from models.text.spelling import Spelling
from serving.scoring.texts.cache import TextColumn

pytestmark = pytest.mark.slow

SHORT, TIMES = 2_500, 8
# Linear work takes 8 times as long, quadratic work 64 times.
FACTOR = 24
# Below this, the fixed cost of a call matters.
LEAST_S = 0.001
SPELLING = Spelling(["wonderful", "beautiful"], len)
ENCODER = importlib.util.find_spec(PACKAGE)


def routed(text: str) -> None:
    body = ItemCreated(SubjectRef("comment", "c1"), "a1", text=text)
    Router(SqliteState(), BUILTIN).route(LoggedEvent(1, clock.HOUR, Event("e1", clock.HOUR, body)))


STEPS: dict[str, Callable[[str], Any]] = {
    "normal_form": normal_form,
    "plain_form": plain_form,
    "present": present,
    "buckets": buckets,
    "text_counts": lambda text: text_counts([text]),
    "grams": lambda text: grams([text]),
    "router": routed,
    "repaired": SPELLING.repaired,
    "digest": lambda text: TextColumn.of([text]),
}
# A text is one of these, repeated.
UNITS = (
    *(
        "a_ ",
        "a. ",
        "a.",
        "a__",
        "a ",
        "ab ",
        "1a",
        "a1",
        "11a",
        "@a",
        "@",
        "$",
        "!a",
        "|",
        "0",
        "oo0",
        "aab",
        "_",
        "-",
    ),
    *("http", "https://", "http://a ", "www.", "a.com", "a.co", "a-", "(", "[", "<a ", "\n", "²", "٣a", "\x00", "_"),
    *("é", "e\u0301", "\u0301", "\u0316\u0301", "a\u0301\u0316\u0323", "\uff9f\u0316", "\u0344\u0316", "\u0f73\u0316"),
    *("ǰ\u0316", "ΐ", "İ", "ß", "ﷺ", "\U0001d15e", "\u1100\u1161\u11a8", "\u0b47\u0b3e", "аa1", "中", "한", "ſ."),
    *("🔥", "🔥" * 31 + "a", "🏽", "\u200b", "a\u200b", "\u2800", "\u3164", "\U000e0100"),
)
ATOMS = (*"ab_ .-*10@$!|5\n:/(]éаоſ🔥ﷺ", "http://", "www.", ".com", "\u0301", "\u0316", "\uff9f")


def some(fewest: int, most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(ATOMS), min_size=fewest, max_size=most).map("".join)


def seconds(step: Callable[[str], Any], text: str) -> float:
    began = time.thread_time()
    step(text)
    return time.thread_time() - began


def is_linear(step: Callable[[str], Any], before: str, unit: str, after: str = "", *, attempts: int = 5) -> bool:
    """Whether one of a few attempts looks linear: other work on the machine can only make one look slower."""
    count = SHORT // len(unit) + 1
    short, long = (before + unit * times * count + after for times in (1, TIMES))
    return any(
        seconds(step, long) < FACTOR * max(seconds(step, short), seconds(step, short), LEAST_S) for _ in range(attempts)
    )


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_linear(name: str) -> None:
    found = [unit for unit in UNITS if not is_linear(STEPS[name], "", unit)]
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_linear_on_any_repetition(name: str) -> None:
    @settings(max_examples=150)
    @given(some(0, 2), some(1, 5), some(0, 2))
    @example("x", "a_ ", "_")
    @example("", "a ", "1")
    def check(before: str, unit: str, after: str) -> None:
        assert is_linear(STEPS[name], before, unit, after)

    check()


@pytest.mark.skipif(ENCODER is None, reason="the sentence encoder is not installed: make encoder")
def test_the_encoders_tokenizer_is_linear() -> None:
    from tokenizers import Tokenizer

    assert ENCODER is not None
    assert ENCODER.origin is not None
    tokenizer = Tokenizer.from_file(str(Path(ENCODER.origin).parent / MODEL_FOLDER / TOKENIZER))
    tokenizer.enable_truncation(MAX_TOKENS)
    assert [unit for unit in UNITS if not is_linear(tokenizer.encode, "", unit)] == []


def test_quadratic_work_is_found() -> None:
    """As Python's own normalisation is on marks that aren't in order."""
    assert not is_linear(lambda text: unicodedata.normalize("NFKC", text), "a", "\u0301\u0316", attempts=1)

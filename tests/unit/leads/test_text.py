"""Invisible characters, the normal form, by which texts are compared, and the plain form."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.evaluate.plan import text_counts
from features.fold.near_text import buckets
from leads.text import normal_form, normalized, plain_form, present, text_hash, visible
from models.text.ngrams import grams

# Default_Ignorable_Code_Point of DerivedCoreProperties.txt in Unicode 17.0, in the file's order.
DEFAULT_IGNORABLE = (
    "00AD 034F 061C 115F-1160 17B4-17B5 180B-180D 180E 180F 200B-200F 202A-202E 2060-2064 2065 2066-206F 3164 "
    "FE00-FE0F FEFF FFA0 FFF0-FFF8 1BCA0-1BCA3 1D173-1D17A E0000 E0001 E0002-E001F E0020-E007F E0080-E00FF "
    "E0100-E01EF E01F0-E0FFF"
)
# Of the category Cf too, but unknown to older Pythons.
NEW_FORMAT = "13439-1343F"


def characters(ranges: str) -> set[str]:
    pairs = (part.partition("-") for part in ranges.split())
    return {chr(code) for first, _, last in pairs for code in range(int(first, 16), int(last or first, 16) + 1)}


@cache
def every() -> list[str]:
    """Every character there is: made by the tests that need it, not when they are collected."""
    return [chr(code) for code in range(sys.maxunicode + 1)]


@cache
def invisible() -> set[str]:
    control = {char for char in every() if unicodedata.category(char) in ("Cc", "Cf") and not char.isspace()}
    return control | characters(DEFAULT_IGNORABLE) | characters(NEW_FORMAT)


# One of each kind that hides words from filters, and the ends of long ranges.
KNOWN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u200e\u200f\u202a\u202e"
    "\u2060\u2064\u2065\u2066\u2067\u2068\u2069\u206a\u206f\u3164\ufe00\ufe0e\ufe0f\ufeff\uffa0\ufff0\ufff8\ufff9\ufffa\ufffb"
    "\U0001bca0\U0001d173\U000e0000\U000e0001\U000e0020\U000e0061\U000e007f\U000e0100\U000e01ef\U000e0fff\x00\x08\x7f\x9f"
)
texts = st.text(max_size=40)


@given(texts)
@example("ΐ")
@example("İstanbul")
@example("ﷺ")
@example("a\u0345\u0301")
@example("\u200b\ufeff")
def test_the_normal_form_is_idempotent(text: str) -> None:
    assert normal_form(normal_form(text)) == normal_form(text)


@given(texts)
def test_case_space_and_invisible_characters_are_ignored(text: str) -> None:
    spaced = "\u200b" + text.replace(" ", " \t\n\u00a0 ") + " "
    assert text_hash(spaced) == text_hash(text)


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_case_is_ignored(text: str) -> None:
    assert text_hash(text.upper()) == text_hash(text.lower())


@given(texts)
def test_a_hash_is_64_bits(text: str) -> None:
    assert 0 <= text_hash(text) < 2**64


def test_different_words_differ() -> None:
    assert len({text_hash(t) for t in ("free money", "freemoney", "free  monye", "", "money free")}) == 5


def test_a_lone_surrogate_can_be_hashed() -> None:
    assert text_hash("\ud83d") == text_hash("\ud83d ")


@pytest.mark.parametrize("char", KNOWN, ids=lambda char: f"U+{ord(char):04X}")
def test_an_invisible_character_changes_nothing(char: str) -> None:
    text, disguised = "Free money at www.x.com", f"{char}F{char}ree mon{char}ey at www{char}.x.com{char}"
    assert visible(disguised) == text
    assert normal_form(disguised) == normal_form(text)
    assert plain_form(disguised) == plain_form(text)
    assert text_hash(disguised) == text_hash(text)
    assert present(char) is present(f" {char}\n{char}") is None


def test_exactly_the_characters_of_these_properties_are_invisible() -> None:
    assert all(not visible(char) and present(char) is None for char in invisible())
    others = [char for char in every() if char not in invisible()]
    assert [char for char in others if visible(char) != char] == ["\u2800"]


def test_normalising_gives_no_invisible_characters() -> None:
    others = [char for char in every() if char not in invisible()]
    assert not invisible().intersection(normal_form("x".join(others)))
    decomposed = [char for char in others if char.isspace() or unicodedata.decomposition(char)]
    assert [char for char in decomposed if (present(char) is None) != (not normal_form(char))] == []


def test_braille_without_dots_is_white_space() -> None:
    assert normal_form("free\u2800\u2800money\u2800") == "free money"
    assert plain_form("f\u2800r\u2800e\u2800e") == "free"
    assert present("\u2800 \u2800") is None


@given(
    st.text(max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.deferred(lambda: st.sampled_from(sorted(invisible()))))),
)
@example("ht tps://x.com a_b_c", [(2, "\u2067"), (9, "\U000e0041")])
def test_what_is_read_of_a_text_does_not_depend_on_invisible_characters(text: str, more: list[tuple[int, str]]) -> None:
    disguised = text
    for place, char in more:
        disguised = disguised[:place] + char + disguised[place:]
    assert normal_form(disguised) == normal_form(text)
    assert plain_form(disguised) == plain_form(text)
    assert text_hash(disguised) == text_hash(text)
    assert buckets(disguised) == buckets(text)
    assert text_counts([disguised]).tobytes() == text_counts([text]).tobytes()
    for ours, plain in zip(grams([disguised]), grams([text]), strict=True):
        assert ours.hashes.tolist() == plain.hashes.tolist()


@settings(max_examples=500)
@given(st.text(st.sampled_from("abéя_ .-*1\n"), max_size=24))
@example("a_ b_ c_")
@example("a b c_ d e1")
def test_spaced_out_letters_are_joined_as_one_expression_would(text: str) -> None:
    """The expression is easy to read, but takes quadratic time."""
    spaced_out = re.compile(r"(?<!\w)(?:[^\W\d_][ .\-_*]{1,2}){2,}[^\W\d_](?!\w)")
    joined = spaced_out.sub(lambda run: re.sub(r"[ .\-_*]", "", run.group()), normal_form(text))
    assert plain_form(text) == plain_form(joined)


def test_long_runs_of_marks_are_normalised_as_python_does() -> None:
    random = Random(3)
    marks = [char for char in every() if unicodedata.combining(unicodedata.normalize("NFKD", char)[0])]
    for _ in range(200):
        text = "".join(random.choice(random.choice((marks, "aéﬁ한\u0b47"))) for _ in range(random.randint(257, 600)))
        for form in ("NFKC", "NFKD"):
            assert normalized(form, text) == unicodedata.normalize(form, text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("w0m3n 5h0uld 0b3y", "women should obey"),
        ("57up1d l053r5!", "stupid losers!"),
        ("s01e05 m4rk77", "soie05 mark77"),
        ("5days 3weeks 5in 7hits 4kb 3er 1uhr", "5days 3weeks 5in 7hits 4kb 3er 1uhr"),
        ("[x](https://i.example.com/b4d10t.jpg)", "[x](https://i.example.com/b4d10t.jpg)"),
        ("ch4nn3l c4rd5 n0w", "channel cards now"),
        ("1st 3rd 4th 5am 7pm 5min 4km", "1st 3rd 4th 5am 7pm 5min 4km"),
        ("4nd 3nd 0ur", "and end our"),
        ("4x4 1on1 mp3 h3 top10 50cent covid19", "4x4 1on1 mp3 h3 top10 50cent covid19"),
    ],
)
def test_digits_are_read_as_letters_where_a_word_has_them_inside(text: str, plain: str) -> None:
    assert plain_form(text) == plain


def test_only_as_much_is_read_as_asked_for() -> None:
    assert plain_form("  \u200b" * 3_000 + "free   money", 6) == "free m"

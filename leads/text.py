"""How texts are read: without invisible characters; in the normal form, by which they are compared; and in the plain
form, in which disguised words are readable.

Every function takes time linear in the text's length, whatever the text.
"""

from __future__ import annotations

import hashlib
import re
import sys
import unicodedata
from collections.abc import Iterable
from itertools import groupby
from typing import Literal

# Characters that show nothing, by their properties in Unicode 17.0: the general categories Cc (without white space) and
# Cf, from DerivedGeneralCategory.txt, and Default_Ignorable_Code_Point, from DerivedCoreProperties.txt.
_CONTROL = ((0x00, 0x08), (0x0E, 0x1B), (0x7F, 0x84), (0x86, 0x9F))
_FORMAT = (
    *((0x0600, 0x0605), (0x06DD, 0x06DD), (0x070F, 0x070F), (0x0890, 0x0891), (0x08E2, 0x08E2), (0xFFF9, 0xFFFB)),
    *((0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F)),
)
_DEFAULT_IGNORABLE = (
    *((0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)


def _within(ranges: Iterable[tuple[int, int]]) -> re.Pattern[str]:
    """Matches a character in one of the ranges: one that isn't between them, which `re` tests twice as fast."""
    edges = [-1, *(edge for pair in sorted(ranges) for edge in pair), sys.maxunicode + 1]
    between = [(before + 1, after - 1) for before, after in zip(edges[::2], edges[1::2], strict=True)]
    return re.compile("[^" + "".join(f"{chr(first)}-{chr(last)}" for first, last in between if first <= last) + "]")


_INVISIBLE = _within((*_CONTROL, *_FORMAT, *_DEFAULT_IGNORABLE))
# Braille without dots: a symbol by its category, but it looks like a space.
_BLANK = "\u2800"
# At least 32 characters that may all be marks on one letter. In texts of up to 256 characters any order is fast.
_MANY_MARKS, _SHORT = re.compile(r"[^\w\s\x00-\u02ff]{32,}"), 256
# Accents and skin tones.
_MARKS = re.compile(r"[\u0300-\u036f\U0001f3fb-\U0001f3ff]")
_TOKEN = re.compile(r"\S+")
_LATIN, _ADDRESS = re.compile(r"[a-z]"), re.compile(r"https?:|www\.|^@")
# The possessive quantifier makes matching linear: each run is read once, and `_joined` finds where its word ends.
_SPACED_OUT = re.compile(r"(?<!\w)[^\W\d_](?:[ .\-_*]{1,2}[^\W\d_]){2,}+")
_BETWEEN = re.compile(r"[ .\-_*]")
_WORD_CHARACTER = re.compile(r"\w")
_REPEATED = re.compile(r"([^\d\s])\1{2,}")
# Digits and signs used as letters: between letters, or before two or more letters at the start of a word, but not in
# ordinals, times of day and measures.
_UNITS = (
    *(
        "[ap]m",
        "[eè]r",
        "[eè]me",
        "uhr",
        "in",
        "inch(?:es)?",
        "ft",
        "yds?",
        "miles?",
        "[kmc]m",
        "mph",
        "kmh",
        "[km]?hz",
    ),
    *("secs?", "mins?", "minutes?", "hrs?", "hours?", "days?", "weeks?", "months?", "years?", "yrs?", "kgs?", "lbs?"),
    *("ml", "oz", "[kmgt]b", "[kmg]bps", "hits?", "kills?", "pics?", "pcs", "ours", "ex", "est"),
)
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])[013457@$!|]+(?=[^\W\d_])")
_STAND_INS = re.compile(
    rf"{_BETWEEN_LETTERS.pattern}|(?<![\w@$])"
    rf"(?!1st\b|3rd\b|[457]th\b|\d(?:{'|'.join(_UNITS)})\b)"
    r"[013457@$](?=[^\W\d_]{2,}\b)"
)
# A word with one between letters may have a few at its ends too; more are a number.
_WORD, _AT_ENDS = (
    re.compile(r"[^\W_]+(?:[@$!|]+[^\W_]+)*"),
    re.compile(r"^[013457]{1,2}(?=[^\W\d_])|(?<=[^\W\d_])[013457]$"),
)
_REPLACED = str.maketrans("013457@$!|", "oieastasil")
# Cyrillic and Greek letters that look like Latin letters.
_LOOKALIKES = str.maketrans("авеёзікмнорстухѕјԁһӏνοαεικρτυχ", "abee3ikmhopctyxsjdhlvoaeikptux")


def visible(text: str) -> str:
    """The text without invisible characters, and with spaces for characters that look like a space.

    >>> visible("fr\u200be\u00ade\u2800money")
    'free money'
    """
    if text.isascii() and text.isprintable():
        return text
    return _INVISIBLE.sub("", text).replace(_BLANK, " ")


def present(text: str | None) -> str | None:
    """The text; None if there is none, or nothing but white space and invisible characters.

    >>> present("\u2067 \u3164\u2800") is None
    True
    """
    return text if text and visible(text).strip() else None


def normal_form(text: str) -> str:
    """The visible text in NFKC, case folded, with white space collapsed.

    >>> normal_form("Free\u200b  ＭＯＮＥＹ\\n")
    'free money'
    """
    return " ".join(normalized("NFKC", visible(text)).casefold().split())


def plain_form(text: str, max_chars: int | None = None) -> str:
    """The normal form without disguises: spaced-out, look-alike, repeated and accented letters, digits for letters.

    Look-alikes and digits are only replaced in tokens that contain Latin letters; digits in addresses are kept.

    Args:
        max_chars: how many characters of the normal form to read; None for all.

    >>> plain_form("F r e e  m0ney, сlick  h3re nooooow")
    'free money, click here noow'
    >>> plain_form("привет, 10/10, covid19, $5, @us3r")
    'привет, 10/10, covid19, $5, @us3r'
    """
    plain = normal_form(text)[:max_chars]
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", _MARKS.sub("", normalized("NFKD", plain)))
    if not plain.isascii() or _STAND_INS.search(plain):
        plain = _TOKEN.sub(_undisguised, plain)
    plain = _SPACED_OUT.sub(_joined, plain)
    return _REPEATED.sub(r"\1\1", plain)


def letters_for_signs(word: str) -> str:
    """The word with the letters that digits and signs stand for.

    >>> letters_for_signs("7h3")
    'the'
    """
    return word.translate(_REPLACED)


# Logged in place of a text's hash for content of which no stored version is a copy; 0 stands for no text.
GIVEN = 1


def text_hash(text: str) -> int:
    """64 bits of BLAKE2b over the normal form. Equal texts have equal hashes on every machine.

    >>> text_hash("Hello  there") == text_hash("hello THERE")
    True
    """
    return int.from_bytes(hashlib.blake2b(normal_form(text).encode("utf-8", "replace"), digest_size=8).digest(), "big")


def normalized(form: Literal["NFKC", "NFKD"], text: str) -> str:
    """`unicodedata.normalize` in linear time.

    Python puts the marks on a letter in order by insertion, which takes quadratic time. It finds long runs of marks
    sorted here; that doesn't change the result.
    """
    if len(text) > _SHORT and not text.isascii():
        # Halfwidth sound marks are letters in Unicode, but decompose to these marks.
        text = text.replace("\uff9e", "\u3099").replace("\uff9f", "\u309a")
        text = _MANY_MARKS.sub(_in_order, text)
    return unicodedata.normalize(form, text)


def _in_order(run: re.Match[str]) -> str:
    parts = (part for character in run.group() for part in unicodedata.normalize("NFKD", character))
    groups = groupby(parts, key=lambda part: unicodedata.combining(part) > 0)
    return "".join("".join(sorted(group, key=unicodedata.combining) if marks else group) for marks, group in groups)


def _undisguised(token: re.Match[str]) -> str:
    word = token.group()
    if not _LATIN.search(word):
        return word
    if not word.isascii():
        word = word.translate(_LOOKALIKES)
    if _ADDRESS.search(word):
        return word
    return _STAND_INS.sub(_letters, _WORD.sub(_ends_undisguised, word))


def _ends_undisguised(word: re.Match[str]) -> str:
    return _AT_ENDS.sub(_letters, word.group()) if _BETWEEN_LETTERS.search(word.group()) else word.group()


def _letters(stand_ins: re.Match[str]) -> str:
    return letters_for_signs(stand_ins.group())


def _joined(run: re.Match[str]) -> str:
    """The run with its letters joined, up to the last letter that ends a word, if there are three or more."""
    text, start, end = run.string, run.start(), run.end()
    while end > start and _WORD_CHARACTER.match(text, end):
        # Back to the letter before, over one separator or two.
        end -= 3 if _BETWEEN.match(text, end - 3) else 2
    word = _BETWEEN.sub("", text[start : max(end, start)])
    return word + text[end : run.end()] if len(word) > 2 else run.group()

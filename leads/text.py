"""The normal form of a text, by which texts are compared, and the plain form, in which disguised words are readable."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SPACE = re.compile(r"\s+")
# Accents, variation selectors, skin tones.
_MARKS = re.compile(r"[\u0300-\u036f\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
_TOKEN = re.compile(r"\S+")
_LATIN, _ADDRESS = re.compile(r"[a-z]"), re.compile(r"https?:|www\.|@")
_SPACED_OUT = re.compile(r"(?<!\w)(?:[^\W\d_][ .\-_*]{1,2}){2,}[^\W\d_](?!\w)")
_BETWEEN = re.compile(r"[ .\-_*]")
_REPEATED = re.compile(r"([^\d\s])\1{2,}")
# Digits and signs used as letters: between letters, or before two or more letters at the start of a word.
_STAND_INS = re.compile(r"(?<=[^\W\d_])[013457@$!|]+(?=[^\W\d_])|(?<![\w@$])[013457@$](?=[^\W\d_]{2,}\b)")
_REPLACED = str.maketrans("013457@$!|", "oieastasil")
# Cyrillic and Greek letters that look like Latin letters.
_LOOKALIKES = str.maketrans("авеёзікмнорстухѕјԁһӏνοαεικρτυχ", "abee3ikmhopctyxsjdhlvoaeikptux")


def normal_form(text: str) -> str:
    """The text in NFKC, case folded, without invisible characters, with white space collapsed.

    >>> normal_form("Free\u200b  ＭＯＮＥＹ\\n")
    'free money'
    """
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    return _SPACE.sub(" ", folded).strip()


def plain_form(text: str) -> str:
    """The normal form without disguises: spaced-out, look-alike, repeated and accented letters, digits for letters.

    Look-alikes and digits are only replaced in tokens that contain Latin letters; digits in addresses are kept.

    >>> plain_form("F r e e  m0ney, сlick  h3re nooooow")
    'free money, click here noow'
    >>> plain_form("привет, 10/10, covid19, $5, @us3r")
    'привет, 10/10, covid19, $5, @us3r'
    """
    plain = normal_form(text)
    if not plain.isascii():
        plain = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", plain)))
    if not plain.isascii() or _STAND_INS.search(plain):
        plain = _TOKEN.sub(_undisguised, plain)
    plain = _SPACED_OUT.sub(lambda run: _BETWEEN.sub("", run.group()), plain)
    return _REPEATED.sub(r"\1\1", plain)


def _undisguised(token: re.Match[str]) -> str:
    word = token.group()
    if not _LATIN.search(word):
        return word
    if not word.isascii():
        word = word.translate(_LOOKALIKES)
    return word if _ADDRESS.match(word) else _STAND_INS.sub(_letters, word)


def _letters(stand_ins: re.Match[str]) -> str:
    return stand_ins.group().translate(_REPLACED)


def text_hash(text: str) -> int:
    """64 bits of BLAKE2b over the normal form. Equal texts have equal hashes on every machine.

    >>> text_hash("Hello  there") == text_hash("hello THERE")
    True
    """
    return int.from_bytes(hashlib.blake2b(normal_form(text).encode("utf-8", "replace"), digest_size=8).digest(), "big")

"""Which language a text is in, as far as the Compact Language Detector 2 is confident."""

from __future__ import annotations

import re

from leads.text import visible

# BCP 47's subtag for an undetermined language.
UNKNOWN = "und"
# How many characters are read, and how many of those that are left are enough to tell.
_READ, _DETECTED = 800, 400
# The language must have at least this share of the letters, in percent, so that an even mix has none.
_MIN_SHARE = 50
# Without the flag IGNORECASE, which makes it ten times slower.
_ADDRESS = re.compile(r"[hHwW](?:ttps?://|TTPS?://|ww\.|WW\.)\S+")
_CODE = re.compile(r"[a-z]{2,3}")
# Subtags that mean the same language: deprecated ones, and Bokmål, which the detector calls Norwegian.
_SAME = {"iw": "he", "in": "id", "ji": "yi", "jw": "jv", "mo": "ro", "nb": "no", "fil": "tl"}
# What the detector calls texts that aren't in a language: transliterations for fun, and scripts.
_NONE = ("xx", "zz", "un")


def language_of(text: str | None) -> str:
    """The primary subtag of the language that a text is in, such as `en`; `und` if the detector isn't confident.

    Deterministic. Only the start of a long text is read: a comment takes about 10 µs, a long text up to about 80.

    >>> language_of("This song is so good, I play it every morning.")
    'en'
    >>> language_of("Das Lied ist wirklich schön."), language_of("12:30 😀")
    ('de', 'und')
    """
    if not text:
        return UNKNOWN
    read = _ADDRESS.sub(" ", visible(text[:_READ]))[:_DETECTED]
    return _detected(read) or _detected("".join(x if x.isprintable() else " " for x in read)) or UNKNOWN


def primary(tag: str) -> str:
    """The primary subtag of a language tag, in lower case; one subtag for each language.

    >>> primary("pt-BR"), primary("iw")
    ('pt', 'he')
    """
    subtag = tag.partition("-")[0].lower()
    return _SAME.get(subtag, subtag)


def _detected(text: str) -> str | None:
    """The language that the detector finds, or `und`; None if it doesn't accept the text.

    It refuses code points that aren't characters, such as surrogates.
    """
    # Loading its tables takes memory, which a process that never detects a language doesn't need.
    import pycld2

    try:
        is_reliable, _, found = pycld2.detect(text, isPlainText=True)
    except (pycld2.error, UnicodeEncodeError):
        return None
    _, code, share, _ = found[0]
    subtag = primary(code)
    if not is_reliable or share < _MIN_SHARE or subtag.startswith(_NONE) or not _CODE.fullmatch(subtag):
        return UNKNOWN
    return subtag

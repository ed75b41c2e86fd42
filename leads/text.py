"""The one normal form of text, by which two texts count as equal."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_SPACE = re.compile(r"\s+")


def normal_form(text: str) -> str:
    """NFKC, case folded, invisible characters dropped, white space collapsed.

    >>> normal_form("Free\u200b  ＭＯＮＥＹ\\n")
    'free money'
    """
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    return _SPACE.sub(" ", folded).strip()


def text_hash(text: str) -> int:
    """64 bits of BLAKE2b over the normal form; equal texts share it on every machine.

    >>> text_hash("Hello  there") == text_hash("hello THERE")
    True
    """
    return int.from_bytes(hashlib.blake2b(normal_form(text).encode("utf-8", "replace"), digest_size=8).digest(), "big")

"""`languages.json`: the languages of the rows that a version was trained on, so that others can be flagged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from leads.errors import ModelRefused
from leads.language.detection import UNKNOWN
from models.manifest import LANGUAGES, read_file

# Fewer distinct rows could be a few texts whose language was misdetected.
MIN_ROWS = 20


def to_bytes(counts: Mapping[str, int]) -> bytes:
    """The file's content: the number of distinct rows by language, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return msgspec.json.format(msgspec.json.encode(dict(ordered)), indent=2)


def read(folder: Path) -> dict[str, int] | None:
    """The number of distinct rows by language; None if an earlier release made the version, which recorded none.

    Raises:
        ModelRefused: the file can't be read.
    """
    return parse(read_file(folder, LANGUAGES)) if (folder / LANGUAGES).is_file() else None


def parse(raw: bytes) -> dict[str, int]:
    """The number of distinct rows by language, in the file's content. Raises ModelRefused if it holds none."""
    try:
        return msgspec.json.decode(raw, type=dict[str, int])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelRefused(
            f"{LANGUAGES} can't be read: {error}", field=LANGUAGES, remedy="Fetch the version again."
        ) from error


def seen(counts: Mapping[str, int] | None) -> frozenset[str] | None:
    """The languages with at least 20 distinct rows; None if languages weren't recorded.

    >>> seen({"en": 900, "und": 40, "da": 3})
    frozenset({'en'})
    """
    if counts is None:
        return None
    return frozenset(language for language, rows in counts.items() if rows >= MIN_ROWS and language != UNKNOWN)


def summary(counts: Mapping[str, int]) -> str:
    """The languages that it was trained on, the most frequent first, and how many texts are in no such language.

    >>> summary({"und": 40, "es": 25, "en": 9000, "da": 3, "fy": 2})
    'en 9,000, es 25; in other languages 5; undetermined 40'
    """
    known = seen(counts) or ()
    listed = sorted(((rows, language) for language, rows in counts.items() if language in known), reverse=True)
    unknown = counts.get(UNKNOWN, 0)
    others = sum(counts.values()) - unknown - sum(rows for rows, _ in listed)
    parts = [", ".join(f"{language} {rows:,}" for rows, language in listed)]
    parts += [f"in other languages {others:,}"] if others else []
    parts += [f"undetermined {unknown:,}"] if unknown else []
    return "; ".join(filter(None, parts)) or "none"

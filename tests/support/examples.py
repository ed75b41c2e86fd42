"""Whether an example in the documentation is a value that the code could return."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from serving.scoring.reasons.phrases import PHRASES

_HEX = re.compile(r"([a-z]_)?([0-9a-f]{8,})")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")


def alike(value: str, shown: str) -> bool:
    """Whether both are ids of the same form, times of the same form, or other texts."""
    if (found := _HEX.fullmatch(value)) is not None:
        like = _HEX.fullmatch(shown)
        return like is not None and (like[1], len(like[2])) == (found[1], len(found[2]))
    return bool(_TIME.fullmatch(value)) == bool(_TIME.fullmatch(shown))


def reason_texts(code: str) -> set[str]:
    """The texts that reviewers can read for this code, with every number replaced by `0`."""
    values = (0.0, 0.1, 0.6, 1.0, 2.0, 2.5, 9.0, 100.0, 5_000.0)
    told = [(phrase(value), value) for phrase in PHRASES.values() for value in values]
    return {without_numbers(phrase.text(value)) for phrase, value in told if phrase.code == code}


def without_numbers(text: str) -> str:
    return re.sub(r"[\d,.]*\d", "0", text)


def reasons_in(example: Any) -> Iterator[tuple[str, str]]:
    """Code and text of every reason in an example."""
    if isinstance(example, dict):
        if {"code", "text"} <= set(example):
            yield example["code"], example["text"]
        for one in example.values():
            yield from reasons_in(one)
    elif isinstance(example, list):
        for one in example:
            yield from reasons_in(one)

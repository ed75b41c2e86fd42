"""Finds half a character in JSON: an escaped surrogate without its pair, which some programs send when they cut a text.

Decoders reject it without saying so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from leads.errors import InvalidInput

_HALF = re.compile(r"[\ud800-\udfff]")


def half_a_character(raw: bytes) -> InvalidInput | None:
    """The error that names the text with a lone surrogate; None if no text has one, or if the JSON has other faults.

    >>> half_a_character(rb'{"reason": "\\ud83d"}').field
    '/reason'
    """
    try:
        pointer = next(_places(json.loads(raw), ""), None)
    except (ValueError, RecursionError):
        return None
    if pointer is None:
        return None
    return InvalidInput(
        "A text has half of a surrogate pair, such as \\ud83d.",
        field=pointer or None,
        remedy="Send the whole pair, or the character itself in UTF-8. It may have been cut in two: cut texts between "
        "characters.",
    )


def _places(node: Any, pointer: str) -> Iterator[str]:
    """The pointers of texts with a lone surrogate. An object that has such a name is named itself."""
    if isinstance(node, str):
        if _HALF.search(node):
            yield pointer
    elif isinstance(node, dict):
        if any(_HALF.search(name) for name in node):
            yield pointer
        for name, value in node.items():
            yield from _places(value, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _places(value, f"{pointer}/{i}")

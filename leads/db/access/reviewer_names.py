"""What the reviewer of a key may be called."""

from __future__ import annotations

import re

from leads.errors import InvalidInput
from leads.messages.patterns import REVIEWER


def check_reviewer(name: str) -> None:
    """Raises InvalidInput unless requests may name this reviewer, too."""
    if len(name) > 256 or not name.isprintable() or not re.fullmatch(REVIEWER, name):
        raise InvalidInput(
            "A reviewer needs a printable name of at most 256 characters, without spaces around it.", field="--reviewer"
        )

"""What a version's reference sample says of its rows beyond inputs, score and label. Older versions lack it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.text.description import Description

# When the row's subject was scored (µs), its type, and the account that made it, as far as known.
AT, TYPE_ID, ACCOUNT = "about.at", "about.type", "about.account"
# What is known of the subject's content: before the names of categories, numbers, and lists of words.
CATEGORY, NUMBER, WORDS = "about.category.", "about.number.", "about.words."


@dataclass(frozen=True, eq=False)
class About:
    """What is known of n rows.

    Args:
        at: (n,) when each row's subject was scored, µs.
        types: the subjects' types.
        accounts: those that made them, as far as known.
        content: what they hold.
    """

    at: npt.NDArray[np.int64]
    types: Sequence[str]
    accounts: Sequence[str | None]
    content: Description

    def columns(self, rows: int) -> dict[str, pa.Array]:
        """The columns of the first rows."""
        found = {
            AT: pa.array(self.at[:rows]),
            TYPE_ID: pa.array(self.types[:rows], pa.string()),
            ACCOUNT: pa.array(self.accounts[:rows], pa.string()),
        }
        for name, values in self.content.categories.items():
            found[CATEGORY + name] = pa.array(values[:rows], pa.string())
        for name, numbers in self.content.numbers.items():
            found[NUMBER + name] = pa.array(numbers[:rows])
        for name, words in self.content.words.items():
            found[WORDS + name] = pa.array([list(one) for one in words[:rows]], pa.list_(pa.string()))
        return found

"""docs/platform.md says how exact distinct counts are; the exact distribution of their estimates says the same."""

from __future__ import annotations

import re

import numpy as np
import pytest

from features.evaluate.bases import _estimates
from tests.support.paths import REPOSITORY

_TABLE = re.findall(
    r"^\| (\d+) \| (\d+)% \| (\d+)% \| (\d+)% \| (\d+)% \| (\d+)% \| ([\d,]+) \|$",
    (REPOSITORY / "docs" / "platform.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def figures(slots: int) -> list[int]:
    """The shares of 2 and 5 values that are counted right, errors up to 1, 2 and 4 times `slots`; all in percent."""
    estimates = _estimates(slots, slots).astype(np.float64)
    filled = np.arange(slots + 1)
    # The probability of each number of filled slots; the next value falls into a filled slot, or into a free one.
    chance = np.zeros(slots + 1)
    chance[0] = 1
    right, error = {}, {}
    for n in range(1, 4 * slots + 1):
        free = chance * (slots - filled) / slots
        chance = chance * filled / slots
        chance[1:] += free[:-1]
        right[n] = chance[estimates == n].sum()
        error[n] = np.sqrt((chance * (estimates - n) ** 2).sum()) / n
    ranges = ((10, slots), (slots, 2 * slots), (2 * slots, 4 * slots))
    largest = [max(error[n] for n in range(first, last + 1)) for first, last in ranges]
    return [round(100 * x) for x in (right[2], right[5], *largest)]


@pytest.mark.parametrize("row", _TABLE, ids=lambda row: row[0])
def test_the_figures_of_the_page_are_those_of_the_sketch(row: tuple[str, ...]) -> None:
    slots, *shown, highest = (int(cell.replace(",", "")) for cell in row)
    assert figures(slots) == shown
    assert _estimates(slots, slots).max() == highest


def test_the_page_has_every_size() -> None:
    assert [int(row[0]) for row in _TABLE] == [16, 32, 64, 128, 256]

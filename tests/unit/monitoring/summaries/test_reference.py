"""A version's reference sample is counted as windows are, by slice and by hours of the week."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leads import clock
from models.reference_columns import About
from models.text.description import Description
from models.write import write_version
from monitoring.summaries.reference import any_time, part_of_day, part_of_week, read_reference
from monitoring.summaries.summary import SCORE, TIER
from tests.unit.models.conftest import make_parts

# A Friday at noon.
FRIDAY = clock.from_text("2026-03-06T12:00:00Z")


def about(rows: int) -> About:
    at = FRIDAY + np.arange(rows) * 12 * clock.HOUR
    types = ["comment", "track", "comment"] * (rows // 3)
    content = Description(
        {"language": ["de", None, "en"] * (rows // 3)},
        {"text:length": np.arange(rows, dtype=np.float64)},
        {"vocabulary": [("1", "2"), (), ("2",)] * (rows // 3)},
    )
    return About(at, types, ["a1", None, "a2"] * (rows // 3), content)


def test_a_reference_keeps_what_is_known_of_its_rows(tmp_path: Path) -> None:
    version = write_version(tmp_path / "v", replace(make_parts(text=False), reference_about=about(300)))
    found = read_reference(version)
    assert len(found) == 300
    assert found.at is not None
    # Nine tenths of the rows are from then on.
    assert (found.at[0], found.since) == (FRIDAY, FRIDAY + round(29.9 * 12 * clock.HOUR))
    assert found.accounts[:3] == ["a1", None, "a2"]
    assert len(found.slice("type=comment")) == 200
    assert len(found.slice("language=de")) == 100
    assert len(found.slice("type=page")) == 0
    whole = found.parts("", any_time)[0]
    assert set(whole.columns) == {*version.input_names, SCORE, "text:length"}
    assert sum(whole.categories[TIER].values()) == 300
    assert whole.categories["vocabulary"] == {"1": 100, "2": 200}
    assert sum(part.rows for part in found.parts("language=de", part_of_week).values()) == 100
    assert len(found.parts("", part_of_day)) == 2
    # Noon and midnight, on weekdays and on weekends.
    assert len(found.parts("", part_of_week)) == 4


def test_a_reference_of_an_earlier_release_is_a_whole(tmp_path: Path) -> None:
    found = read_reference(write_version(tmp_path / "v", make_parts(text=False)))
    assert (found.at, found.since, len(found)) == (None, None, 300)
    assert list(found.parts("", part_of_week)) == [0]
    assert found.parts("type=comment", part_of_week) == {}


def test_a_reference_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    version = write_version(tmp_path / "v", make_parts(text=False))
    (version.folder / "reference.parquet").write_bytes(b"torn")
    with pytest.raises(ValueError, match="missing or can't be read"):
        read_reference(version)


def test_parts_of_the_week() -> None:
    at = np.array([FRIDAY, FRIDAY + clock.DAY, FRIDAY + 2 * clock.DAY, FRIDAY + 3 * clock.DAY])
    assert part_of_week(at).tolist() == [4, 104, 104, 4]
    assert part_of_day(at).tolist() == [4, 4, 4, 4]

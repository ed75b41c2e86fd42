"""A benchmark always ends with its table, whatever fails."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks.report import Measure, Report, at_least, at_most, measured, read_json
from leads.errors import LeadsError, Unavailable


def fails(error: Exception) -> list[Measure]:
    raise error


def failing_value() -> float:
    raise Unavailable("The peer failed.")


def test_a_part_that_fails_becomes_a_row_and_the_others_still_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "made" / "rows.json"
    report = Report("Times", path)
    report.part("reads", lambda: [at_most("read", 1.5, "ms", 2.0)])
    report.part("writes", lambda: fails(LeadsError("The disk is full.")))
    report.part("folds", lambda: fails(ZeroDivisionError("division by zero")))
    report.part("lists", lambda: [Measure("list", 3.0, "ms")])
    assert report.finish() == 1
    assert json.loads(path.read_text()) == [
        {"name": "read", "value": 1.5, "unit": "ms", "bar": "≤ 2", "holds": True},
        {"name": "writes", "value": None, "unit": "", "bar": "", "holds": False},
        {"name": "folds", "value": None, "unit": "", "bar": "", "holds": False},
        {"name": "list", "value": 3.0, "unit": "ms", "bar": "", "holds": None},
    ]
    printed = capsys.readouterr().out
    assert "Failed: writes: The disk is full." in printed
    assert "Failed: folds: ZeroDivisionError: division by zero" in printed
    assert printed.index("Times") > printed.index("Traceback")


def test_what_was_measured_is_written_before_the_next_part_begins(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    report, written = Report("Times", path), []
    report.part("reads", lambda: [Measure("read", 3.0, "ms")])
    report.part("writes", lambda: written.append(read_json(path)) or [])
    assert written == [[Measure("read", 3.0, "ms")]]


def test_the_exit_code_is_zero_only_when_every_bar_holds() -> None:
    report = Report("Times")
    report.add([at_least("rate", 5.0, "rows/s", 4.0), Measure("read", 3.0, "ms")])
    assert report.finish() == 0
    report.add([at_least("rate", 3.0, "rows/s", 4.0)])
    assert report.finish() == 1


def test_nan_meets_no_bar_and_is_written_as_null(tmp_path: Path) -> None:
    assert at_least("a", math.nan, "ms", 1.0).holds is False
    assert at_most("a", math.nan, "ms", 1.0).holds is False
    report = Report("Times", tmp_path / "rows.json")
    report.add([at_most("a", math.nan, "ms", 1.0)])
    report.finish()
    assert read_json(tmp_path / "rows.json") == [Measure("a", None, "ms", "≤ 1", False)]


def test_what_needs_a_failed_part_keeps_its_row() -> None:
    assert measured("ratio", "", failing_value, least=10) == Measure("ratio", None, "", "≥ 10", False)
    assert measured("ratio", "", failing_value, most=10) == Measure("ratio", None, "", "≤ 10", False)
    assert measured("ratio", "", failing_value) == Measure("ratio", None, "", "", False)
    assert measured("ratio", "", lambda: 11.0, least=10) == at_least("ratio", 11.0, "", 10)
    assert measured("ratio", "", lambda: 11.0, most=10) == at_most("ratio", 11.0, "", 10)
    assert measured("ratio", "", lambda: 11.0) == Measure("ratio", 11.0, "")

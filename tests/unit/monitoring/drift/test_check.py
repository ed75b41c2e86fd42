"""A look at drift by hand: its window is one of the clock, and what it says of outages."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from cli.ui.drift import render
from leads import clock
from leads.errors import InvalidInput, NotFound
from monitoring.drift.check import check, document
from monitoring.summaries.reference import Reference
from tests.support.drift_rows import HARM, Doubles, FakeWorld, Platform, _reference, at_hour

# Half past five on a Wednesday.
NOW = at_hour(30 * 24 + 5) + 30 * clock.MINUTE


def world(platform: Platform, champion: str | None = "3") -> FakeWorld:
    made = FakeWorld(platform)
    made.now = NOW
    made.version = lambda harm, version: object() if version in ("3", "4") else None  # type: ignore[assignment]
    aliases = {"champion": champion} if champion else {}
    made.registry = SimpleNamespace(aliases=lambda harm: aliases)  # type: ignore[assignment]
    return made


def shown(platform: Platform, *, references: Mapping[str, Reference] | None = None) -> str:
    out = io.StringIO()
    made = world(platform)
    if references is not None:
        made._known = references
    Console(width=140, file=out).print(render(check(made, HARM), NOW))
    return out.getvalue()


def test_the_window_is_that_of_the_scheduled_verdict() -> None:
    found = check(world(Platform()), HARM)
    assert (found.since, found.until) == (at_hour(29 * 24 + 4), at_hour(30 * 24 + 4))
    assert found.drifted is False
    assert "No drift" in shown(Platform())


def test_a_platform_that_has_only_begun_is_shown_what_there_is() -> None:
    found = check(world(Platform(first=30 * 24 + 4)), HARM)
    assert found.until == at_hour(30 * 24 + 6)
    assert found.drifted is False


def test_an_outage_is_said_and_yesterdays_verdict_is_not_repeated() -> None:
    text = shown(Platform(silent=lambda number: number >= 28 * 24))
    assert "No verdict yet" in text
    assert "it has no predictions" in text
    assert "the newest predictions are from before" in text
    assert "2 d ago" in text
    partly = shown(Platform(silent=lambda number: number >= 30 * 24 - 6))
    assert "No drift" in partly
    assert "Nothing was scored in the window's last" in partly


def unsteady(made: Doubles, random: object) -> None:
    made[:, 1] = made[:, 1] * 400 + 2_000


def test_a_change_that_could_not_be_seen_is_not_called_no_drift() -> None:
    young = Platform(first=30 * 24 - 20, changes=lambda number: unsteady if number % 2 else None)
    found = check(world(young), HARM)
    assert found.drifted is None
    whole = document(found)["comparisons"][0]
    assert whole["drifted"] is None
    assert "would show" in whole["unclear"]
    text = shown(young)
    assert "Can't tell" in text
    assert "Score: unclear" in text
    assert "No drift" not in text


def test_options_choose_the_window_and_the_version() -> None:
    one = world(Platform(versions={0: "3", 29 * 24: "4"}))
    found = check(one, HARM, days=2, until=at_hour(20 * 24) - 5 * clock.MINUTE)
    assert (found.since, found.until) == (at_hour(18 * 24), at_hour(20 * 24))
    assert check(one, HARM, days=1, until=at_hour(20 * 24), version="4").drifted is None


def test_a_version_that_does_not_exist_is_refused() -> None:
    with pytest.raises(NotFound, match="99"):
        check(world(Platform()), HARM, version="99")


def test_shares_near_a_threshold_and_versions_are_told_apart() -> None:
    text = shown(Platform(versions={0: "3", 29 * 24 + 16: "4"}), references={"3": _reference(), "4": _reference()})
    assert "0.0% (threshold 10%)" in text
    assert "Columns of version 3 compared with the reference sample" in text
    assert "Columns of version 4 compared with the reference sample" in text


def test_windows_that_are_no_windows_are_refused() -> None:
    with pytest.raises(InvalidInput, match="in the future"):
        check(world(Platform()), HARM, until=NOW + clock.DAY)
    with pytest.raises(InvalidInput, match="shorter than an hour"):
        check(world(Platform()), HARM, days=0.01)
    with pytest.raises(NotFound, match="no_such"):
        check(world(Platform()), "no_such")


def test_a_harm_without_champion_and_predictions_says_what_to_do() -> None:
    with pytest.raises(NotFound, match="leads train"):
        check(world(Platform(silent=lambda number: True), champion=None), HARM)


def test_the_document_is_json_and_has_every_column(tmp_path: Path) -> None:
    found = check(world(Platform()), HARM)
    again = json.loads(json.dumps(document(found), allow_nan=False))
    assert again["drifted"] is False
    whole = again["comparisons"][0]
    assert {column["column"] for column in whole["columns"]} >= {"item.plays_24h", "score", "flagged", "language"}

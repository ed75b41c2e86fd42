"""`leads drift` as it is typed: which harms and windows it looks at, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from cli.app import app
from cli.ui import drift as screen
from leads import clock
from leads.settings import POLICIES_FILE
from tests.support.drift_rows import FakeWorld, Platform, at_hour

END = 30 * 24
Show = Callable[..., tuple[int, str]]


def changed(made: np.ndarray, random: np.random.Generator) -> None:
    made[:, 1] *= 5


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Show:
    """Run the command on a platform whose half past midnight it is."""
    monkeypatch.setenv("LEADS_HOME", str(tmp_path))

    def run(platform: Platform, *arguments: str, champion: bool = True) -> tuple[int, str]:
        world = FakeWorld(platform)
        world.now = at_hour(END) + 30 * clock.MINUTE
        aliases = {"champion": "3"} if champion else {}
        world.registry = SimpleNamespace(aliases=lambda harm: aliases)  # type: ignore[assignment]

        @contextmanager
        def opened(*given: object) -> Iterator[FakeWorld]:
            yield world

        monkeypatch.setattr(screen, "opened_world", opened)
        monkeypatch.setattr(screen, "_summarise", lambda world, harms: None)
        result = CliRunner().invoke(app, ["drift", *arguments])
        return result.exit_code, result.output

    return run


def drifting() -> Platform:
    return Platform(changes=lambda number: changed if number >= END - 24 else None)


def test_exit_codes_tell_drift_from_none_and_from_no_verdict(show: Show) -> None:
    assert show(Platform(), "spam")[0] == 0
    code, text = show(drifting(), "spam")
    assert code == 3
    assert "DRIFT" in text
    assert "item.plays_24h" in text
    assert "leads drift spam --explain" in text
    code, text = show(Platform(silent=lambda number: number >= END - 48), "spam")
    assert code == 4
    assert "No verdict yet" in text


def test_all_harms_are_checked_and_written(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two harms are all there are.
    declared = yaml.safe_load(POLICIES_FILE.read_text(encoding="utf-8"))
    declared["harms"] = {harm: declared["harms"][harm] for harm in ("spam", "sexism")}
    policies = tmp_path / "policies.yaml"
    policies.write_text(yaml.safe_dump(declared), encoding="utf-8")
    monkeypatch.setenv("LEADS_POLICIES", str(policies))
    path = tmp_path / "drift.json"
    code, text = show(drifting(), "--all", "--quiet", "--json", str(path))
    assert code == 3
    assert text.count("DRIFT") >= 2
    assert "harassment" not in text
    written = json.loads(path.read_text(encoding="utf-8"))
    assert {one["drifted"] for one in written["harms"]} == {True}
    assert "columns" in written["harms"][0]["comparisons"][0]


def test_harms_without_a_champion_are_named(show: Show) -> None:
    code, text = show(Platform(silent=lambda number: True), "--all", champion=False)
    assert code == 4
    assert "leads train spam" in text


def test_a_harm_or_all_of_them_must_be_named(show: Show) -> None:
    assert show(Platform())[0] == 2
    assert show(Platform(), "spam", "--all")[0] == 2

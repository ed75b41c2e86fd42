"""MLflow's pages say what the gate found and which version serves, and never stand in the way of a change."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from leads.settings import Settings
from tests.support.training.fake_registry import FakeRegistry, fails
from tests.support.training.scripted import HARM, ME, POLICY
from training.data.dataset import Dataset
from training.lifecycle import canary
from training.lifecycle.lifecycle import Lifecycle
from training.lifecycle.outcomes import ChangeReason

pytestmark = pytest.mark.slow


@pytest.fixture
def lifecycle(settings: Settings, registry: FakeRegistry, engine: Engine) -> Lifecycle:
    minutes = iter(range(0, 1_000 * 60_000_000, 60_000_000))
    return Lifecycle(settings, POLICY, HARM, registry, engine, clock=lambda: next(minutes))


def test_the_harms_page_follows_every_move(lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset) -> None:
    for _ in range(2):
        assert lifecycle.promote(registry.add(), lambda: data, ME).alias == "champion"
    assert registry.harm_tags == {"champion": "version 2 since 1970-01-01 00:01 UTC, promoted by me: because"}
    lifecycle.rollback(ChangeReason("ana", "worse"))
    assert registry.harm_tags == {"champion": "version 1 since 1970-01-01 00:02 UTC, rolled back to by ana: worse"}
    canary.start(lifecycle, "2", ME)
    assert registry.harm_tags["canary"].startswith("version 2 since ")
    canary.stop(lifecycle, ME)
    assert "canary" not in registry.harm_tags
    registry.by_alias["champion"] = registry.add()
    canary.start(lifecycle, "2", ME)
    assert registry.harm_tags["champion"] == "version 3, set outside of Lead Serving"
    lifecycle.retire("3", ME, override=True)
    assert registry.harm_tags["champion"].startswith("version 1 since ")


def test_a_version_s_page_shows_what_the_gate_found(
    lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset
) -> None:
    lifecycle.promote(registry.add(), lambda: data, ME)
    passed = registry.notes["1"]
    assert passed.tags == {"gate": "passed"}
    assert passed.metrics == {"gate_passed": 1, "gate_checks_failed": 0}
    assert "There is no champion to compare with." in passed.description
    blind = registry.add(skilled=False)
    report = lifecycle.promote(blind, lambda: data, ME).gate
    assert report is not None
    blocked = registry.notes[blind]
    assert blocked.tags["gate"].startswith("blocked: ranking")
    assert (blocked.metrics["gate_passed"], blocked.metrics["gate_checks_failed"]) == (0, len(report.failed))
    lost = blocked.metrics["gate/average precision - difference from champion"]
    assert blocked.metrics["gate/average precision - difference from champion_low"] < lost < 0
    assert "Compared with version 1." in blocked.description
    assert "**failed**" in blocked.description
    lifecycle.promote(blind, lambda: data, ChangeReason("ana", "a drill"), override=True)
    assert registry.tags[blind]["gate"].endswith("; overridden by ana: a drill")


@pytest.mark.parametrize("call", ["annotate", "tag_harm"])
def test_a_page_that_can_not_be_written_stops_nothing(
    lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset, call: str
) -> None:
    lifecycle.promote(registry.add(), lambda: data, ME)
    registry.before = fails(call)
    assert lifecycle.promote(registry.add(), lambda: data, ME).alias == "champion"
    assert registry.by_alias == {"champion": "2"}
    assert [change.state for change in lifecycle.moves.history(HARM)] == ["done", "done"]
    registry.before = lambda _: None
    lifecycle.rollback(ME)
    assert registry.harm_tags["champion"].startswith("version 1 since ")

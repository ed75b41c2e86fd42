"""Canaries: which versions may become one, what ends it, and what a retreat means for the next one."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from leads.db import canary_retreats
from leads.db.canary_retreats import Retreat
from leads.db.engine import reading
from leads.errors import Conflict, InvalidInput, ModelRefused, NotEnoughData, NotFound, Unavailable
from leads.settings import Settings
from models.registry.versions import CANARY_SHARE, RETIRED
from tests.support.training.fake_registry import FakeRegistry, fails, write_model
from tests.support.training.scripted import CONTRACT, HARM, ME, POLICY
from training.data.dataset import Dataset
from training.lifecycle import canary
from training.lifecycle.lifecycle import Lifecycle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("versions") / "made"
    write_model(folder, HARM, CONTRACT, skilled=True)
    return folder


@pytest.fixture
def registry(folder: Path) -> FakeRegistry:
    """Three versions; the first one answers."""
    made = FakeRegistry(folder, folder)
    for _ in range(3):
        made.add()
    made.by_alias["champion"] = "1"
    return made


@pytest.fixture
def lifecycle(settings: Settings, registry: FakeRegistry, engine: Engine) -> Lifecycle:
    ticks = iter(range(1, 1_000))
    return Lifecycle(settings, POLICY, HARM, registry, engine, clock=lambda: next(ticks))


def no_labels() -> Dataset:
    raise NotEnoughData("There are 0 labels.")


def recorded(lifecycle: Lifecycle) -> list[tuple[str, str, str | None, str]]:
    return [(c.action, c.version, c.replaced, c.state) for c in lifecycle.moves.history(HARM)]


def retreat(engine: Engine, version: str) -> None:
    with engine.begin() as connection:
        canary_retreats.record(connection, Retreat(5, HARM, version, "slow", "here"))


def test_a_canary_is_started_replaced_and_stopped(lifecycle: Lifecycle, registry: FakeRegistry) -> None:
    assert canary.start(lifecycle, "2", ME) is None
    assert registry.by_alias == {"champion": "1", "canary": "2"}
    assert canary.start(lifecycle, "3", ME) == "2"
    assert canary.stop(lifecycle, ME) == "3"
    assert registry.by_alias == {"champion": "1"}
    assert recorded(lifecycle) == [
        ("canary", "2", None, "done"),
        ("canary", "3", "2", "done"),
        ("canary_stopped", "3", None, "done"),
    ]
    with pytest.raises(Conflict, match="has no canary"):
        canary.stop(lifecycle, ME)


def test_which_versions_cannot_become_canary(lifecycle: Lifecycle, registry: FakeRegistry) -> None:
    with pytest.raises(NotFound):
        canary.start(lifecycle, "9", ME)
    with pytest.raises(Conflict, match="is the champion"):
        canary.start(lifecycle, "1", ME)
    registry.tags["2"][RETIRED] = "today"
    with pytest.raises(Conflict, match="retired"):
        canary.start(lifecycle, "2", ME)
    registry.spoil("3")
    with pytest.raises(ModelRefused):
        canary.start(lifecycle, "3", ME)
    del registry.by_alias["champion"]
    with pytest.raises(Conflict, match="has no champion"):
        canary.start(lifecycle, "1", ME)
    assert registry.by_alias == {}
    assert recorded(lifecycle) == []


def test_the_canary_that_answers_is_not_started_again_but_one_that_retreated_is(
    lifecycle: Lifecycle, registry: FakeRegistry, engine: Engine
) -> None:
    canary.start(lifecycle, "2", ME)
    with pytest.raises(Conflict, match="already the canary"):
        canary.start(lifecycle, "2", ME)
    retreat(engine, "2")
    retreat(engine, "3")
    assert canary.start(lifecycle, "2", ME) is None
    with reading(engine) as connection:
        assert list(canary_retreats.standing(connection)) == [(HARM, "3")]
    assert registry.by_alias["canary"] == "2"


def test_a_refused_start_clears_no_retreat(lifecycle: Lifecycle, registry: FakeRegistry, engine: Engine) -> None:
    retreat(engine, "2")
    registry.spoil("2")
    with pytest.raises(ModelRefused):
        canary.start(lifecycle, "2", ME)
    with reading(engine) as connection:
        assert list(canary_retreats.standing(connection)) == [(HARM, "2")]


@pytest.mark.parametrize(("promoted", "left"), [("2", {"champion": "2"}), ("3", {"champion": "3", "canary": "2"})])
def test_promoting_the_canary_ends_the_canary(
    lifecycle: Lifecycle, registry: FakeRegistry, promoted: str, left: dict[str, str]
) -> None:
    canary.start(lifecycle, "2", ME)
    lifecycle.promote(promoted, no_labels, ME, override=True)
    assert registry.by_alias == left


def test_retiring_a_canary_ends_the_canary(lifecycle: Lifecycle, registry: FakeRegistry) -> None:
    canary.start(lifecycle, "2", ME)
    lifecycle.retire("2", ME)
    assert registry.by_alias == {"champion": "1"}


def test_a_start_and_a_stop_that_die_in_between_are_settled_by_the_next_change(
    lifecycle: Lifecycle, registry: FakeRegistry
) -> None:
    registry.before = fails("set_alias")
    with pytest.raises(Unavailable):
        canary.start(lifecycle, "2", ME)
    registry.before = lambda call: None
    canary.start(lifecycle, "3", ME)
    registry.after = fails("drop_alias")
    with pytest.raises(Unavailable):
        canary.stop(lifecycle, ME)
    registry.after = lambda call: None
    canary.start(lifecycle, "2", ME)
    registry.before = fails("drop_alias")
    with pytest.raises(Unavailable):
        canary.stop(lifecycle, ME)
    registry.before = lambda call: None
    canary.stop(lifecycle, ME)
    assert [(action, version, state) for action, version, _, state in recorded(lifecycle)] == [
        ("canary", "2", "dropped"),
        ("canary", "3", "done"),
        ("canary_stopped", "3", "done"),
        ("canary", "2", "done"),
        ("canary_stopped", "2", "dropped"),
        ("canary_stopped", "2", "done"),
    ]


def test_having_been_canary_does_not_hide_that_another_version_was_promoted_since(
    lifecycle: Lifecycle, registry: FakeRegistry
) -> None:
    lifecycle.promote("3", no_labels, ME, override=True)
    lifecycle.promote("2", no_labels, ME, override=True)
    canary.start(lifecycle, "3", ME)
    canary.stop(lifecycle, ME)
    standing = lifecycle._already_settled("3", registry.by_alias, lifecycle.moves.history(HARM))
    assert standing is not None
    assert "Another version has been made champion since" in standing.why


def test_the_share_travels_with_the_canary_and_can_be_changed(lifecycle: Lifecycle, registry: FakeRegistry) -> None:
    canary.start(lifecycle, "2", ME)
    assert registry.tags["2"][CANARY_SHARE] == "0.05"
    assert canary.start(lifecycle, "2", ME, share=0.5) is None
    assert registry.tags["2"][CANARY_SHARE] == "0.5"
    with pytest.raises(Conflict, match=r"already the canary of made, with a share of 0\.5"):
        canary.start(lifecycle, "2", ME, share=0.5)
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InvalidInput, match="not a share"):
            canary.start(lifecycle, "3", ME, share=share)
    assert registry.by_alias["canary"] == "2"

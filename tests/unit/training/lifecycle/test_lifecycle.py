"""Which version answers: promoted by the gate, rolled back, retired, settled; whatever dies in between."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.engine import Engine

from features.contract import Column
from leads.db.model_changes import ModelChange, current_actor
from leads.errors import Conflict, ModelRefused, NotEnoughData, NotFound, Unavailable
from leads.files import only_one
from leads.settings import Settings
from models import manifest
from models.calibrator import Calibrator
from models.registry.versions import RETIRED
from models.version import load
from tests.support.training.fake_registry import FakeRegistry, N, draw_rows, fails, write_model
from tests.support.training.live_features import OURS, go_live
from tests.support.training.scripted import CONTRACT, HARM, ME, POLICY, rows
from training.data.dataset import Dataset
from training.gate.gate import GateReport
from training.lifecycle.lifecycle import Lifecycle
from training.lifecycle.outcomes import ChangeReason

pytestmark = pytest.mark.slow


@pytest.fixture
def lifecycle(settings: Settings, registry: FakeRegistry, engine: Engine) -> Lifecycle:
    ticks = iter(range(1, 1_000))
    return Lifecycle(settings, POLICY, HARM, registry, engine, clock=lambda: next(ticks))


class Champions:
    """Versions 1 to n, each promoted in turn."""

    def __init__(self, lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset) -> None:
        self._lifecycle, self._registry, self._data = lifecycle, registry, data

    def __call__(self, n: int) -> None:
        for _ in range(n):
            number = self._registry.add()
            assert self._lifecycle.promote(number, lambda: self._data, ME).alias == "champion"


@pytest.fixture
def champions(lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset) -> Champions:
    return Champions(lifecycle, registry, data)


def no_labels() -> Dataset:
    raise NotEnoughData("There are 0 labels.")


def recorded(lifecycle: Lifecycle) -> list[tuple[str, str, str | None, str]]:
    return [(c.action, c.version, c.replaced, c.state) for c in lifecycle.moves.history(HARM)]


def test_what_the_gate_passes_is_promoted_and_kept(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset
) -> None:
    champions(2)
    assert registry.by_alias == {"champion": "2"}
    first, second = lifecycle.moves.history(HARM)
    assert second == ModelChange(
        at=2, harm=HARM, version="2", action="promoted", actor="me", why="because", alias="champion", replaced="1",
        gate=second.gate, overridden=False, state="done", seq=first.seq + 1,
    )  # fmt: skip
    assert GateReport.from_json(second.gate or "").champion == "1"
    assert first.replaced is None


def test_what_the_gate_blocks_stays_where_it_is(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset
) -> None:
    champions(1)
    registry.add(skilled=False)
    registry.by_alias["challenger"] = "2"
    settled = lifecycle.promote("2", lambda: data, ME)
    assert settled.alias == "challenger"
    assert settled.gate is not None
    assert "ranking" in [check.name for check in settled.gate.failed]
    assert registry.by_alias == {"champion": "1", "challenger": "2"}
    assert len(lifecycle.moves.history(HARM)) == 1


def test_overriding_promotes_and_keeps_what_failed(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset
) -> None:
    champions(1)
    registry.add(skilled=False)
    assert lifecycle.promote("2", lambda: data, ME, override=True).alias == "champion"
    last = lifecycle.moves.history(HARM)[-1]
    assert last.overridden
    assert GateReport.from_json(last.gate or "").failed
    assert registry.by_alias == {"champion": "2"}


def test_overriding_what_passes_overrides_nothing(lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset) -> None:
    registry.add()
    lifecycle.promote("1", lambda: data, ME, override=True)
    assert not lifecycle.moves.history(HARM)[-1].overridden


def test_without_labels_only_overriding_promotes(lifecycle: Lifecycle, registry: FakeRegistry) -> None:
    registry.add()
    with pytest.raises(NotEnoughData, match=r"0 labels.*--override"):
        lifecycle.promote("1", no_labels, ME)
    assert registry.by_alias == {}
    settled = lifecycle.promote("1", no_labels, ME, override=True)
    assert settled.alias == "champion"
    assert [check.name for check in settled.gate.failed] == ["held-out rows"]  # type: ignore[union-attr]


def test_a_version_that_serving_would_refuse_is_never_promoted(
    lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset
) -> None:
    registry.spoil(registry.add())
    with pytest.raises(ModelRefused):
        lifecycle.promote("1", lambda: data, ME, override=True)
    with pytest.raises(NotFound, match="Version 7 of made not found"):
        lifecycle.promote("7", lambda: data, ME, override=True)
    assert lifecycle.moves.history(HARM) == []


def test_a_version_whose_golden_rows_do_not_reproduce_is_not_promoted(
    lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset, tmp_path: Path
) -> None:
    number = registry.add()
    folder = shutil.copytree(registry.folders[number], tmp_path / "changed")
    other = Calibrator((0.0, 1.0), (3.0, 4.0)).to_json()
    about = manifest.read_manifest(folder)
    (folder / manifest.CALIBRATOR).write_bytes(other)
    files = {**about.files, manifest.CALIBRATOR: manifest.sha256(other)}
    (folder / manifest.MANIFEST).write_bytes(msgspec.json.encode(msgspec.structs.replace(about, files=files)))
    registry.folders[number] = folder
    with pytest.raises(ModelRefused, match="golden"):
        lifecycle.promote(number, lambda: data, ME, override=True)


def test_the_champion_is_not_promoted_twice(lifecycle: Lifecycle, champions: Champions) -> None:
    champions(1)
    with pytest.raises(Conflict, match="already the champion of made"):
        lifecycle.promote("1", no_labels, ME)


def test_a_champion_whose_artifacts_are_gone_stands_in_nobodys_way(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset
) -> None:
    champions(1)
    registry.spoil("1")
    registry.add()
    settled = lifecycle.promote("2", lambda: data, ME)
    assert settled.alias == "champion"
    assert "Version 1, the champion, can't be loaded" in settled.why


def test_promoting_drops_a_challenger_that_was_compared_with_the_old_champion(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions
) -> None:
    champions(1)
    registry.by_alias["challenger"] = "1"
    champions(1)
    assert registry.by_alias == {"champion": "2"}


def test_rolling_back_goes_further_back_each_time_and_never_to_and_fro(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions
) -> None:
    champions(3)
    assert lifecycle.rollback(ME)[:2] == ("2", "3")
    assert lifecycle.rollback(ME)[:2] == ("1", "2")
    with pytest.raises(Conflict, match="before version 1"):
        lifecycle.rollback(ME)
    assert registry.by_alias == {"champion": "1"}


def test_after_rolling_back_a_new_champion_goes_back_to_the_one_that_it_replaced(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset
) -> None:
    champions(3)
    lifecycle.rollback(ME)
    champions(1)
    assert registry.by_alias == {"champion": "4"}
    assert lifecycle.rollback(ME).champion == "2"
    lifecycle.promote("3", lambda: data, ME)
    assert lifecycle.rollback(ME).champion == "2"


def test_rolling_back_passes_over_what_can_not_answer(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions
) -> None:
    champions(4)
    registry.spoil("3")
    lifecycle.retire("2", ME)
    moved = lifecycle.rollback(ME)
    assert moved.champion == "1"
    assert moved.passed_over == ("Version 3 was passed over: The artifacts can't be read.",)
    assert "Version 3 was passed over" in lifecycle.moves.history(HARM)[-1].why


def test_rolling_back_brings_back_a_champion_whose_alias_was_dropped_or_moved_by_hand(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions
) -> None:
    champions(2)
    registry.by_alias.clear()
    assert lifecycle.rollback(ME)[:2] == ("2", None)
    registry.add()
    registry.by_alias["champion"] = "3"
    assert lifecycle.rollback(ME)[:2] == ("2", "3")
    assert lifecycle.rollback(ME)[:2] == ("1", "2")


def test_retired_versions_never_answer_again(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset
) -> None:
    champions(2)
    moved = lifecycle.retire("1", ME)
    assert moved.champion == "2"
    assert "by me: because" in registry.tags["1"][RETIRED]
    with pytest.raises(Conflict, match="was retired at"):
        lifecycle.promote("1", lambda: data, ME, override=True)
    with pytest.raises(Conflict, match="no usable champion"):
        lifecycle.rollback(ME)
    with pytest.raises(Conflict, match="was retired at"):
        lifecycle.retire("1", ME)


def test_retiring_a_challenger_takes_its_alias(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions
) -> None:
    champions(1)
    registry.by_alias["challenger"] = registry.add()
    lifecycle.retire("2", ME)
    assert registry.by_alias == {"champion": "1"}
    assert lifecycle.moves.history(HARM)[-1].alias == "challenger"


def test_retiring_the_champion_takes_overriding_and_the_one_before_answers(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions
) -> None:
    champions(2)
    with pytest.raises(Conflict, match="is the champion"):
        lifecycle.retire("2", ME)
    assert registry.by_alias == {"champion": "2"}
    assert lifecycle.retire("2", ME, override=True).champion == "1"
    assert registry.by_alias == {"champion": "1"}
    assert recorded(lifecycle)[-2:] == [("rolled_back", "1", "2", "done"), ("retired", "2", None, "done")]


def test_retiring_the_only_champion_leaves_none(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions
) -> None:
    champions(1)
    assert lifecycle.retire("1", ME, override=True).champion is None
    assert registry.by_alias == {}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_promotion_that_dies_in_between_is_settled_by_the_next_change(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset, when: str
) -> None:
    champions(2)
    registry.by_alias["challenger"] = registry.add()
    setattr(registry, when, fails("set_alias"))
    with pytest.raises(Unavailable):
        lifecycle.promote("3", lambda: data, ME)
    assert recorded(lifecycle)[-1] == ("promoted", "3", "2", "pending")
    setattr(registry, when, lambda call: None)
    moved = lifecycle.rollback(ME)
    happened = when == "after"
    assert moved[:2] == (("2", "3") if happened else ("1", "2"))
    assert recorded(lifecycle)[2] == ("promoted", "3", "2", "done" if happened else "dropped")
    assert registry.by_alias == {"champion": moved.champion}


def test_what_follows_from_a_promotion_is_made_up_for(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset
) -> None:
    champions(1)
    registry.by_alias["challenger"] = registry.add()
    registry.before = fails("drop_alias")
    with pytest.raises(Unavailable):
        lifecycle.promote("2", lambda: data, ME)
    assert registry.by_alias == {"champion": "2", "challenger": "2"}
    registry.before = lambda call: None
    with pytest.raises(Conflict, match="already"):
        lifecycle.promote("2", lambda: data, ME)
    assert registry.by_alias == {"champion": "2"}
    assert recorded(lifecycle)[-1][3] == "done"


@pytest.mark.parametrize(("when", "retired"), [("before", False), ("after", True)])
def test_a_retirement_that_dies_in_between_is_settled(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, when: str, retired: bool
) -> None:
    champions(1)
    registry.by_alias["challenger"] = registry.add()
    setattr(registry, when, fails("tag"))
    with pytest.raises(Unavailable):
        lifecycle.retire("2", ME)
    setattr(registry, when, lambda call: None)
    with pytest.raises(Conflict):
        lifecycle.rollback(ME)
    assert ("challenger" in registry.by_alias) is not retired
    assert recorded(lifecycle)[-1] == ("retired", "2", None, "done" if retired else "dropped")


def test_two_changes_at_once_are_refused(lifecycle: Lifecycle, settings: Settings, champions: Champions) -> None:
    champions(2)
    with only_one(settings.root / "models.lock", what="x"), pytest.raises(Conflict, match="changing which versions"):
        lifecycle.rollback(ME)
    assert lifecycle.rollback(ME).champion == "1"


class Settles:
    """Settles versions as training does."""

    def __init__(self, lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset, tmp_path: Path) -> None:
        self._lifecycle, self._registry, self._data, self._folder = lifecycle, registry, data, tmp_path / "fetched"

    def __call__(self, number: str, *, promote: bool, first: str = "champion") -> Any:
        candidate = load(self._registry.folders[number])
        into = self._folder / str(len(self._registry.calls)) / number
        reason = ChangeReason("trainer", "700 labels.")
        return self._lifecycle.settle(number, candidate, self._data, into, reason, promote=promote, first=first)


@pytest.fixture
def settles(lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset, tmp_path: Path) -> Settles:
    return Settles(lifecycle, registry, data, tmp_path)


def test_the_first_version_becomes_champion_and_later_ones_challenge(
    settles: Settles, registry: FakeRegistry, lifecycle: Lifecycle
) -> None:
    registry.add()
    first = settles("1", promote=False)
    assert (first.alias, first.gate.champion) == ("champion", None)
    registry.add()
    assert settles("2", promote=False)[:2] == (
        "challenger", "Version 1 stays champion until another version is promoted.",
    )  # fmt: skip
    assert registry.by_alias == {"champion": "1", "challenger": "2"}
    assert recorded(lifecycle) == [
        ("registered", "1", None, "done"),
        ("promoted", "1", None, "done"),
        ("registered", "2", None, "done"),
        ("challenging", "2", None, "done"),
    ]
    assert lifecycle.moves.history(HARM)[0].why == "700 labels."


def test_retraining_promotes_what_passes_and_keeps_what_does_not_as_challenger(
    settles: Settles, registry: FakeRegistry
) -> None:
    registry.add()
    settles("1", promote=True)
    registry.add(skilled=False)
    blocked = settles("2", promote=True)
    assert blocked.alias == "challenger"
    assert blocked.why.startswith("Blocked by the gate: ranking")
    registry.add()
    assert settles("3", promote=True).alias == "champion"
    assert registry.by_alias == {"champion": "3"}


def test_a_miscalibrated_version_needs_a_person_though_the_champion_is_as_bad(
    lifecycle: Lifecycle, registry: FakeRegistry, settles: Settles, data: Dataset, tmp_path: Path
) -> None:
    """Retraining doesn't promote it, and says that the champion is no better on the same rows."""
    write_model(tmp_path / "bold", HARM, CONTRACT, skilled=True, bold=True)
    for _ in range(2):
        registry.folders[registry.add()] = tmp_path / "bold"
    registry.by_alias["champion"] = "1"
    settled = settles("2", promote=True)
    assert settled.alias == "challenger"
    assert settled.gate is not None
    assert [check.name for check in settled.gate.failed] == ["calibration"]
    assert "and so are the champion's." in settled.gate.failed[0].why
    assert settled.gate.failed[0].why.endswith("A person must decide.")
    assert registry.by_alias == {"champion": "1", "challenger": "2"}
    assert lifecycle.promote("2", lambda: data, ME).alias == "challenger"
    assert lifecycle.promote("2", lambda: data, ME, override=True).alias == "champion"


def test_a_first_version_that_ranks_by_chance_does_not_answer_and_that_is_said(
    settles: Settles, registry: FakeRegistry
) -> None:
    registry.add(skilled=False)
    settled = settles("1", promote=False)
    assert settled.alias == "challenger"
    assert f"{HARM} has no champion until" in settled.why
    assert registry.by_alias == {"challenger": "1"}


def test_a_first_version_may_be_kept_from_answering(settles: Settles, registry: FakeRegistry) -> None:
    registry.add()
    settled = settles("1", promote=True, first="challenger")
    assert (settled.alias, settled.gate.passed) == ("challenger", True)
    registry.by_alias = {"champion": registry.add()}
    assert settles(registry.add(), promote=True, first="challenger").alias == "champion"


@pytest.mark.parametrize("promote", [True, False])
def test_what_learned_from_imported_labels_waits_until_somebody_promotes_a_version(
    lifecycle: Lifecycle, registry: FakeRegistry, data: Dataset, tmp_path: Path, promote: bool
) -> None:
    """Whatever command trains it: one that imports a file, a plain `leads train` later, or `leads retrain`."""
    x, labels = draw_rows(seed=10)
    imported = rows(labels, ["file:mine"] * len(labels))
    imported.features[-N:] = x
    settles = Settles(lifecycle, registry, imported, tmp_path / "fetched")
    for _ in range(2):
        settled = settles(registry.add(), promote=promote)
        assert (settled.alias, settled.gate.passed) == ("challenger", True)
        assert "It was trained on imported labels, and nobody has promoted a version of this harm yet." in settled.why
        assert "has no champion until a version is promoted by hand." in settled.why
    lifecycle.promote("2", lambda: imported, ME)
    assert settles(registry.add(), promote=True).alias == "champion"


def test_a_later_version_does_not_overtake_one_that_was_kept_from_answering(
    settles: Settles, registry: FakeRegistry, lifecycle: Lifecycle
) -> None:
    registry.add()
    settles("1", promote=False, first="challenger")
    settled = settles(registry.add(), promote=True)
    assert settled.alias == "challenger"
    assert "Version 1 passed the gate too, and waits to be promoted by hand." in settled.why
    lifecycle.retire("1", ME)
    lifecycle.retire("2", ME)
    assert settles(registry.add(), promote=False).alias == "champion"


def test_a_blocked_first_version_is_overtaken_by_one_that_passes(settles: Settles, registry: FakeRegistry) -> None:
    registry.add(skilled=False)
    assert settles("1", promote=True).alias == "challenger"
    assert settles(registry.add(), promote=True).alias == "champion"


def test_settling_twice_changes_nothing(settles: Settles, registry: FakeRegistry, lifecycle: Lifecycle) -> None:
    registry.add()
    settles("1", promote=False)
    before = recorded(lifecycle)
    assert settles("1", promote=True)[:2] == ("champion", "It is already the champion.")
    registry.add()
    assert settles("1", promote=True).alias == "champion"
    registry.by_alias.clear()
    assert settles("1", promote=True)[:2] == (None, "A newer version exists. This one can be promoted by hand.")
    assert recorded(lifecycle) == before


@pytest.mark.parametrize("when", ["before", "after"])
def test_settling_that_was_killed_is_made_up_for(
    settles: Settles, registry: FakeRegistry, lifecycle: Lifecycle, when: str
) -> None:
    registry.add()
    setattr(registry, when, fails("set_alias"))
    with pytest.raises(Unavailable):
        settles("1", promote=False)
    setattr(registry, when, lambda call: None)
    assert settles("1", promote=False).alias == "champion"
    assert registry.by_alias == {"champion": "1"}
    states = [state for action, _, _, state in recorded(lifecycle) if action == "promoted"]
    assert states == (["done"] if when == "after" else ["dropped", "done"])
    assert [action for action, *_ in recorded(lifecycle)].count("registered") == 1


def test_an_alias_that_fell_by_hand_is_given_back(settles: Settles, registry: FakeRegistry) -> None:
    registry.add()
    settles("1", promote=False)
    registry.by_alias.clear()
    assert settles("1", promote=False).alias == "champion"


def test_training_again_does_not_undo_a_rollback_or_a_retirement(
    settles: Settles, registry: FakeRegistry, lifecycle: Lifecycle
) -> None:
    for _ in range(2):
        settles(registry.add(), promote=True)
    lifecycle.rollback(ME)
    assert settles("2", promote=True).alias is None
    lifecycle.retire("2", ME)
    assert settles("2", promote=True)[:2] == (None, "It is retired.")
    assert registry.by_alias == {"champion": "1"}


def test_the_actor_has_a_name() -> None:
    assert current_actor()


def test_without_any_user_name_the_number_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise OSError("no user name")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert current_actor().startswith("user ")


def test_a_version_with_declared_features_is_promoted_until_their_declaration_changes(
    lifecycle: Lifecycle, registry: FakeRegistry, champions: Champions, data: Dataset, engine: Engine, tmp_path: Path
) -> None:
    champions(1)
    live = go_live(engine)
    column = Column(OURS, definition=live.by_name[OURS].definition)
    contract = msgspec.structs.replace(CONTRACT, columns=(column,))
    write_model(tmp_path / "declared", HARM, contract, skilled=True)
    now = replace(data, contract=contract, feature_set=live)
    for _ in range(2):
        number = registry.add()
        registry.folders[number] = tmp_path / "declared"
    assert lifecycle.promote("2", lambda: now, ME).alias == "champion"
    assert lifecycle.promote("1", lambda: replace(data, feature_set=live), ME, override=True).alias == "champion"
    changed = go_live(engine, window="7d")
    with pytest.raises(ModelRefused, match=f"the feature {OURS} as it was declared before") as caught:
        lifecycle.promote("3", lambda: replace(data, feature_set=changed), ME)
    assert caught.value.remedy == f"Train the harm again: leads train {HARM}"
    with pytest.raises(Conflict, match="Version 2 was passed over: The contract needs the feature"):
        lifecycle.rollback(ME)

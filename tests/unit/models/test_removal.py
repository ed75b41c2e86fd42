"""Which versions nothing needs any more."""

from __future__ import annotations

from leads.db.model_changes import Action, ModelChange
from models.registry.removal import removable
from models.registry.versions import Registered

LATE = 1_000


def versions(*numbers: int, created: int = 0) -> list[Registered]:
    return [Registered(str(n), f"run{n}", created, {}, {}) for n in sorted(numbers, reverse=True)]


def change(at: int, version: str, action: Action, alias: str | None = None, replaced: str | None = None) -> ModelChange:
    return ModelChange(at, "spam", version, action, "me", "", alias=alias, replaced=replaced, state="done")


PROMOTED = (change(1, "1", "promoted", "champion"), change(2, "2", "promoted", "champion", "1"))


def test_challengers_that_were_replaced_go_and_champions_stay_for_a_roll_back() -> None:
    history = [
        *PROMOTED,
        change(3, "3", "challenging", "challenger"),
        change(4, "4", "challenging", "challenger", "3"),
        change(5, "5", "promoted", "champion", "2"),
    ]
    assert removable(versions(1, 2, 3, 4, 5, 6), {"5"}, history, LATE) == ["3", "4"]
    # A challenger that has no alias although nothing happened since: somebody removed it by hand, nobody knows when.
    assert removable(versions(1, 2, 3, 4, 5, 6), {"2"}, history[:-1], LATE) == ["3"]


def test_versions_that_lost_their_alias_lately_stay() -> None:
    history = [
        *PROMOTED,
        change(3, "3", "challenging", "challenger"),
        change(LATE, "4", "challenging", "challenger", "3"),
    ]
    assert removable(versions(1, 2, 3, 4, 5), {"2", "4"}, history, LATE) == []
    assert removable(versions(1, 2, 3, 4, 5), {"2", "4"}, history, LATE + 1) == ["3"]


def test_what_has_an_alias_is_the_newest_or_is_young_stays() -> None:
    history = [*PROMOTED, *(change(3, n, "registered") for n in "345")]
    assert removable(versions(1, 2, 3, 4, 5), {"2", "3"}, history, LATE) == ["4"]
    assert removable(versions(1, 2, 3, 4, 5, created=LATE), {"2"}, history, LATE) == []


def test_a_champion_that_was_rolled_back_goes_in_time() -> None:
    """The next roll-back doesn't return to it."""
    history = [*PROMOTED, change(3, "1", "rolled_back", "champion", "2")]
    assert removable(versions(1, 2, 3), {"1"}, history, 3) == []
    assert removable(versions(1, 2, 3), {"1"}, history, 4) == ["2"]


def test_versions_without_a_history_stay() -> None:
    assert removable(versions(1, 2, 3), set(), [], LATE) == []

"""Invalid simulation settings, and the presets."""

from __future__ import annotations

import math

import pytest

from leads.errors import InvalidInput
from simulation.config import Period, SimulationConfig, preset


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"accounts": 5}, "accounts"),
        ({"accounts": 10_000_000}, "accounts"),
        ({"seed": -1}, "seed"),
        ({"plays_per_day": math.nan}, "plays_per_day"),
        ({"comments_per_day": math.inf}, "comments_per_day"),
        ({"spam_share": 0.9}, "spam_share"),
        ({"farm_share": -0.1}, "farm_share"),
        ({"periods": ()}, "periods"),
        ({"periods": (Period("history", 0),)}, "periods.days"),
        ({"periods": (Period("../up", 1),)}, "periods.name"),
        ({"periods": (Period("one", 1), Period("one", 1))}, "periods.name"),
        ({"start": 1_700_000_000}, "start"),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SimulationConfig(**changes)  # type: ignore[arg-type]
    assert caught.value.field == field
    assert caught.value.remedy


def test_the_presets_end_in_a_change() -> None:
    standard, small = preset("standard"), preset("small", seed=5)
    assert (standard.accounts, standard.periods[0].days) == (5_000, 30)
    assert small.seed == 5
    assert small.days < standard.days
    assert all(config.periods[-1].changed for config in (standard, small))

"""Losses of a fine-tuning: the curve is whole after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.encoder.losses import Losses


def test_a_run_that_goes_on_adds_to_the_curve_and_repeats_no_step(tmp_path: Path) -> None:
    file = tmp_path / "whole.losses.json"
    before = Losses(file)
    for step, loss in ((10, 0.7), (20, 0.6), (30, 0.5)):
        before.add(step, loss)
    after = Losses(file)
    assert after.curve == [(10, 0.7), (20, 0.6), (30, 0.5)]
    for step, loss in ((20, 0.6), (30, 0.5), (36, 0.4)):
        after.add(step, loss)
    assert Losses(file).curve == [(10, 0.7), (20, 0.6), (30, 0.5), (36, 0.4)]


@pytest.mark.parametrize("content", [b"", b"\xff", b'{"10": 0.5}', b"[[10"])
def test_what_is_damaged_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "whole.losses.json"
    file.write_bytes(content)
    losses = Losses(file)
    assert losses.curve == []
    losses.add(10, 0.7)
    assert Losses(file).curve == [(10, 0.7)]

"""Versions, labels and a registry for tests of how versions change."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.training.fake_registry import FakeRegistry, N, draw_rows, write_model
from tests.support.training.scripted import CONTRACT, HARM, rows
from training.data.dataset import Dataset


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A version that ranks well and one that doesn't."""
    home = tmp_path_factory.mktemp("versions")
    write_model(home / "skilled", HARM, CONTRACT, skilled=True)
    write_model(home / "blind", HARM, CONTRACT, skilled=False)
    return home / "skilled", home / "blind"


@pytest.fixture(scope="module")
def data() -> Dataset:
    x, labels = draw_rows(seed=10)
    made = rows(labels)
    made.features[-N:] = x
    return made


@pytest.fixture
def registry(folders: tuple[Path, Path]) -> FakeRegistry:
    return FakeRegistry(*folders)

"""What the README tells a reader to type must exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from cli.app import app
from leads.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def commands() -> set[str]:
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(?:\.venv/bin/)?leads ([a-z-]+)", README))))
def test_every_command_exists(name: str) -> None:
    assert name in commands()


def test_every_command_is_told_of() -> None:
    assert commands() <= set(re.findall(r"leads ([a-z-]+)", README)) | {"demo"}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"LEADS_[A-Z_]+", README))))
def test_every_setting_exists(name: str) -> None:
    assert name.removeprefix("LEADS_").lower() in Settings.model_fields


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z]+)", README))))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)

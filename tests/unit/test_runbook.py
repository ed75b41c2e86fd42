"""Every alert has a page in the runbook, and what the pages tell people to type exists."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from cli.app import app
from leads.alerting.rules import RULES
from serving.observe import prometheus_rules
from tests.support.paths import REPOSITORY

RUNBOOK = REPOSITORY / "docs" / "runbook"
PAGES = sorted(path for path in RUNBOOK.glob("*.md") if path.name != "README.md")
TEXTS = [*PAGES, REPOSITORY / "docs" / "monitoring.md"]


def name_of(path: Path) -> str:
    return path.stem


def commands_in(text: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0] for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(leads [^`]+)`", text)
    return [line.strip() for line in (*lines, *inline) if line.startswith("leads ")]


@cache
def leads() -> Any:
    return typer.main.get_command(app)


def check(command: str) -> None:
    """Parse a command's arguments and options, without running it."""
    words = shlex.split(re.sub(r"\bHARM\b", "spam", command.replace("VERSION", "4")))[1:]
    group = leads()
    name = "leads"
    while hasattr(group, "commands") and words and not words[0].startswith("-"):
        assert words[0] in group.commands, command
        name, group = words[0], group.commands[words.pop(0)]
    # A command that is only mentioned has none.
    if not hasattr(group, "commands") and words:
        group.make_context(name, words)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_every_rule_has_a_page(rule: object) -> None:
    page = rule.page  # type: ignore[attr-defined]
    assert (RUNBOOK / f"{page}.md").is_file()
    assert f"`{rule.name}`" in (RUNBOOK / "README.md").read_text()  # type: ignore[attr-defined]


def test_every_alert_of_prometheus_has_a_page() -> None:
    index = (RUNBOOK / "README.md").read_text()
    for alert in prometheus_rules.alerts():
        assert (RUNBOOK / f"{alert.page}.md").is_file(), alert.name
        assert f"({alert.page}.md)" in index


def test_every_page_is_of_an_alert() -> None:
    used = {rule.page for rule in RULES.values()} | {alert.page for alert in prometheus_rules.alerts()}
    assert {path.stem for path in PAGES} == used


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_says_what_it_means_how_to_check_it_and_what_to_do(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert headings == ["Check", "What to do", "When to ignore it"]
    assert commands_in(page.read_text())


@pytest.mark.parametrize("page", TEXTS, ids=name_of)
def test_every_command_exists(page: Path) -> None:
    for command in commands_in(page.read_text()):
        check(command)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_what_a_rule_tells_people_to_do_exists(rule: object) -> None:
    todo = rule.todo.format(harm="spam")  # type: ignore[attr-defined]
    # "Withdraw leads below" is no command; those that are stand at the beginning or after a colon, or before "shows".
    for command in re.findall(r"(?:^|: |\. )leads ([a-z]+)", todo):
        assert command in typer.main.get_command(app).commands  # type: ignore[attr-defined]

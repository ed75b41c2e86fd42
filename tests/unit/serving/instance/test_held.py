"""What API processes say about the versions they have, and what a new one lacks of them."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from leads.errors import Unavailable
from serving.instance.held import Held, forget_others, held_by, introduce, missing, read_held, variables
from serving.versions.published_state import HarmState
from serving.versions.serving_status import ServingStatus


def status(
    harm: str = "spam",
    serving: str | None = "2",
    loaded: tuple[str, ...] = ("1", "2"),
    refused: dict[str, str] | None = None,
    champion: str | None = "2",
    previous: str | None = None,
) -> ServingStatus:
    """A harm whose version 2 is published as champion, and version 1 as canary unless it is the previous champion."""
    return ServingStatus(
        harm=harm,
        serving=serving,
        published=HarmState(champion, canary=None if previous else "1", previous=previous),
        loaded=frozenset(loaded),
        share=None,
        retreat=None,
        refused_here=refused or {},
    )


OLD = Held({"spam": "2"}, {"spam": ["1", "2"]})


@pytest.mark.parametrize(
    ("found", "lacks"),
    [
        (status(), []),
        # It serves a moment later.
        (status(serving=None), []),
        (
            status(serving=None, loaded=("1",), refused={"2": "booster.ubj is damaged."}),
            ["spam version 2: booster.ubj is damaged."],
        ),
        (status(loaded=("2",)), ["spam version 1: It isn't loaded yet."]),
        # Nothing is scored with the previous champion.
        (status(loaded=("2",), previous="1"), []),
        # Nobody needs it any more.
        (status(serving=None, loaded=("1",), champion=None), []),
        (status("sexism"), ["spam version 2: state.json doesn't name it."]),
    ],
)
def test_what_a_new_process_lacks(found: ServingStatus, lacks: list[str]) -> None:
    assert missing(OLD, [found]) == lacks


def test_a_harm_that_an_earlier_version_serves_is_not_lost() -> None:
    """The published champion was refused by the old process too, which kept the one before."""
    old = Held({"spam": "1"}, {"spam": ["1"]})
    found = status(serving=None, loaded=("1",), refused={"2": "Its golden rows don't reproduce"})
    assert missing(old, [found]) == ["spam version 2: Its golden rows don't reproduce."]
    assert missing(Held({}, {"spam": ["1"]}), [found]) == []


def test_a_process_says_what_it_has_and_ends_if_it_lacks_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    introduce([status()])
    assert read_held(tmp_path, os.getpid()) is None
    for name, value in variables(tmp_path).items():
        monkeypatch.setenv(name, value)
    introduce([status()])
    assert held_by(tmp_path, [os.getpid(), 1]) == OLD
    for name, value in variables(tmp_path, OLD).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable, match=r"spam version 1: It isn.t loaded yet\."):
        introduce([status(loaded=("2",))])
    said = read_held(tmp_path, os.getpid())
    assert said is not None
    assert (said.loaded, said.lacks) == ({"spam": ["2"]}, ["spam version 1: It isn't loaded yet."])
    # Only the first process of a restart is asked: one that replaces it after a crash starts in any case.
    introduce([status(loaded=("2",))])


def test_what_several_processes_have_counts_together_until_they_are_gone(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    for pid, versions in ((7, ["1"]), (8, ["2", "3"])):
        (tmp_path / "versions" / f"{pid}.json").write_bytes(msgspec.json.encode(Held({}, {"spam": versions})))
    (tmp_path / "versions" / "9.json").write_text("{")
    assert held_by(tmp_path, [7, 8, 9]).loaded == {"spam": ["1", "2", "3"]}
    forget_others(tmp_path, [8])
    assert held_by(tmp_path, [7, 8, 9]).loaded == {"spam": ["2", "3"]}

"""What a restart takes from the settings that it reads again."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from leads.files import write_json
from leads.settings import Settings
from serving.instance.folder import InstanceFolder, Request
from serving.instance.held import Held, introduce, variables
from serving.instance.rolling import RollingRestart
from serving.versions.published_state import HarmState
from serving.versions.serving_status import ServingStatus


def test_an_instance_keeps_its_address(settings: Settings) -> None:
    now = settings.model_copy(update={"host": "127.0.0.1", "port": 3001})
    read = settings.model_copy(update={"host": "::1", "port": 3000, "workers": 3})
    processes = SimpleNamespace(settings=now, with_worker=False)
    request = SimpleNamespace(id="r1", environment_of=None)
    restart = RollingRestart(processes, request, lambda: read, threading.Event())  # type: ignore[arg-type]
    found = restart._settings()
    assert (found.host, found.port, found.workers) == ("127.0.0.1", 3001, 3)


HELD = Held({"spam": "2"}, {"spam": ["2"]})


def restart_of(folder: Path, said: Mapping[int, Held | None], *, force: bool = False) -> RollingRestart:
    """A restart of API processes with these ids, which say this about themselves."""
    (folder / "versions").mkdir()
    for pid, held in said.items():
        if held is not None:
            write_json(folder / "versions" / f"{pid}.json", held)
    apis = [SimpleNamespace(process=SimpleNamespace(pid=pid), ready=True, ended=False) for pid in said]
    processes = SimpleNamespace(folder=InstanceFolder(folder), apis=apis)
    return RollingRestart(processes, Request("r1", force=force), Settings, threading.Event())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "needed", "steps"),
    [
        ({7: HELD, 8: HELD}, HELD, []),
        ({7: None, 8: None}, Held(), ["not comparing versions with the earlier API processes"]),
        ({7: HELD, 8: None}, HELD, ["not comparing versions with 1 of 2 earlier API processes"]),
    ],
)
def test_it_says_whose_versions_it_cant_compare(
    tmp_path: Path, said: Mapping[int, Held | None], needed: Held, steps: list[str]
) -> None:
    restart = restart_of(tmp_path, said)
    assert restart._needed() == needed
    assert [step.partition(",")[0] for step in restart._progress.steps] == steps


def test_a_forced_restart_compares_nothing(tmp_path: Path) -> None:
    restart = restart_of(tmp_path, {7: None}, force=True)
    assert restart._needed() is None
    assert restart._progress.steps == ()


def test_without_anything_to_compare_a_new_process_starts_with_what_it_can_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = restart_of(tmp_path, {7: None})._needed()
    for name, value in variables(tmp_path, needed).items():
        monkeypatch.setenv(name, value)
    damaged = ServingStatus(
        harm="spam", serving=None, published=HarmState("2"), loaded=frozenset(), share=None, retreat=None,
        refused_here={"2": "booster.ubj is damaged."},
    )  # fmt: skip
    introduce([damaged])

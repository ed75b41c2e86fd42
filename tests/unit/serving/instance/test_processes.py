"""Which processes an instance has, and what they are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from leads.settings import Settings, load_settings
from serving.instance.processes import environment, roles


def names(settings: Settings, *, with_worker: bool = True) -> list[str]:
    return [role.name for role in roles(settings, with_worker=with_worker)]


@pytest.mark.parametrize(
    ("monitor", "found"),
    [
        ("on", ["follower", "monitor", "worker"]),
        ("summaries", ["follower", "monitor", "worker"]),
        ("off", ["follower", "worker"]),
    ],
)
def test_monitoring_is_a_process_unless_it_is_off(monitor: str, found: list[str], tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, monitor=monitor)
    assert names(settings) == found
    assert names(settings, with_worker=False) == found[:-1]
    # So that the process does what an option of `leads serve` says.
    assert environment(settings)["LEADS_MONITOR"] == monitor


def test_monitoring_begins_after_the_api(settings: Settings) -> None:
    (monitor,) = [role for role in roles(settings, with_worker=False) if role.name == "monitor"]
    assert monitor.command[-4:] == ("monitor", "watch", "--after", "30")


def test_each_partition_has_its_worker(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, partitions=2, monitor="off")
    assert names(settings) == ["follower", "worker-0", "worker-1"]

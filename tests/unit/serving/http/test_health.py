from __future__ import annotations

import pytest
from sqlalchemy.engine import Engine

from leads.settings import Settings
from serving.http.health import READY, Health, health, is_ready, respond
from serving.versions.published_state import HarmState
from serving.versions.serving_status import ServingStatus
from tests.support.serving.fake_registry import tamper
from tests.support.serving.world import make_runtime, publish


def served(harm: str, serving: str | None, champion: str | None, alias: str | None = None) -> ServingStatus:
    aliases = {"champion": alias or champion} if alias or champion else {}
    return ServingStatus(
        harm=harm,
        serving=serving,
        published=HarmState(champion, {}, aliases),
        loaded=frozenset(),
        share=None,
        retreat=None,
        refused_here={},
    )


@pytest.mark.parametrize(
    ("harms", "ready"),
    [
        ([], False),
        ([served("spam", None, None)], False),
        ([served("spam", "1", "1")], True),
        ([served("spam", "1", "1"), served("sexism", None, None)], True),
        ([served("spam", "1", "1"), served("sexism", None, "1")], False),
        ([served("spam", None, "1")], False),
        # The published one can't be loaded here; the one before answers.
        ([served("spam", "1", "2")], True),
        # The follower refused the newest; it published nothing of this harm so far, or something older.
        ([served("spam", "1", "1", alias="2")], True),
        ([served("spam", "1", "1"), served("sexism", None, None, alias="1")], True),
        ([served("sexism", None, None, alias="1")], False),
    ],
)
def test_ready_means_every_published_champion_serves(harms: list[ServingStatus], ready: bool) -> None:
    assert is_ready(harms) is ready


def test_without_a_runtime_the_status_is_starting() -> None:
    assert health(None) == Health("starting")


@pytest.mark.slow
def test_a_damaged_version_is_reported_whether_or_not_another_one_serves(settings: Settings, engine: Engine) -> None:
    publish(settings, "spam", "1")
    runtime = make_runtime(settings, engine)
    assert respond(READY, runtime).body == b'{"status":"ready","online_store":"ok"}'
    tamper(publish(settings, "spam", "2", role="challenger"))
    runtime.published.refresh()
    found = respond(READY, runtime)
    assert (found.status_code, found.body) == (200, b'{"status":"ready","online_store":"ok","versions":"damaged"}')
    runtime.close()
    restarted = make_runtime(settings, engine)
    tamper(publish(settings, "sexism", "1"))
    restarted.published.refresh()
    assert health(restarted) == Health("not_ready", "ok", "damaged")
    restarted.close()

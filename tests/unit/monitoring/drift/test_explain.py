"""What changed in a window is ranked from the raw log, with where the change is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sqlalchemy.engine import Engine

from cli.ui.drift import render_explanation
from leads import clock
from leads.errors import NotEnoughData
from leads.events import Subject
from leads.policies import load_policies
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from monitoring.drift.explain import explain, explanation_document
from monitoring.summaries.tally import NOTHING
from monitoring.watch.world import World
from tests.support.declared import PLATFORM
from tests.support.prediction_world import AT, batch

DAYS, PER_HOUR = 5, 12
END = AT + DAYS * clock.DAY
NAMES = ("item.plays_24h", "account.short_share_7d", "text.score")


class LoggedWorld(World):
    """A world whose version's inputs are known without a registry."""

    def input_names(self, harm: str, version: str) -> tuple[str, ...] | None:
        return NAMES

    def version(self, harm: str, version: str) -> None:
        return None


def world(settings: Settings, engine: Engine) -> World:
    policies = load_policies(settings.policies)
    return LoggedWorld(settings, policies, PLATFORM, engine, None, END, "here")  # type: ignore[arg-type]


def log(folder: Path, *, changed: bool = True, days: int = DAYS) -> None:
    """On the last day, tracks are played ten times as much; comments are as before."""
    random = np.random.default_rng(1)
    written = PredictionLog(folder, owner="api")
    for hour in range(days * 24):
        at = AT + hour * clock.HOUR
        vectors = random.lognormal(1, 0.5, (PER_HOUR, 3)).astype(np.float32)
        types = ["track" if i % 3 else "comment" for i in range(PER_HOUR)]
        if changed and hour >= (DAYS - 1) * 24:
            vectors[[i for i, type_ in enumerate(types) if type_ == "track"], 0] *= 10
        written.append(
            batch(
                *range(PER_HOUR),
                at=at,
                vectors=vectors,
                subjects=[Subject(type_, f"{type_}{i}") for i, type_ in enumerate(types)],
                prediction_ids=[f"p{hour}-{i}" for i in range(PER_HOUR)],
                scores=random.random(PER_HOUR),
            )
        )
    written.close()


def test_what_changed_most_comes_first_with_where_it_is(settings: Settings, engine: Engine) -> None:
    log(settings.predictions_dir)
    seen: list[tuple[int, int]] = []
    found = explain(
        world(settings, engine),
        "spam",
        END - clock.DAY,
        END,
        describe=lambda subjects: NOTHING,
        on_hour=lambda done, of: seen.append((done, of)),
    )
    assert found.rows == (PER_HOUR * 24,) * DAYS
    assert seen[-1] == (DAYS * 24, DAYS * 24)
    first = found.changes[0]
    assert (first.drift.name, first.where) == ("item.plays_24h", "type=track")
    assert first.of_change > 0.9
    assert first.means[-1] > 4 * max(first.means[:-1])
    assert [one.drift.name for one in found.changes if one.drift.drifted] == ["item.plays_24h"]
    assert json.dumps(explanation_document(found), allow_nan=False)
    out = io.StringIO()
    Console(width=160, file=out).print(render_explanation(found))
    assert "type=track" in out.getvalue()


def test_where_nothing_changed_it_says_so(settings: Settings, engine: Engine) -> None:
    log(settings.predictions_dir, changed=False)
    found = explain(world(settings, engine), "spam", END - clock.DAY, END)
    out = io.StringIO()
    Console(width=160, file=out).print(render_explanation(found))
    assert "nothing beyond chance" in out.getvalue()


def test_a_log_without_enough_rows_says_which_window(settings: Settings, engine: Engine) -> None:
    log(settings.predictions_dir, days=1)
    with pytest.raises(NotEnoughData, match="in this window"):
        explain(world(settings, engine), "spam", END - clock.DAY, END)
    with pytest.raises(NotEnoughData, match="windows before"):
        explain(world(settings, engine), "spam", AT, AT + clock.DAY)

"""What changed in a window is ranked from the raw log, with where the change is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console
from sqlalchemy.engine import Engine

from cli.ui.drift import render_explanation
from leads import clock
from leads.alerting.alert import Alert, Detail
from leads.db.monitoring import alerts
from leads.errors import NotEnoughData
from leads.events import Subject
from leads.policies import load_policies
from leads.predictions.log import PredictionLog
from leads.settings import Settings
from monitoring.drift.explain import alert_before, explain, explanation_document
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


def test_the_windows_before_end_where_the_change_began(settings: Settings, engine: Engine) -> None:
    log(settings.predictions_dir)
    # Half a day after the change began, the windows before contain it.
    began, window = END - clock.DAY, (END - 12 * clock.HOUR, END)
    blind = explain(world(settings, engine), "spam", *window)
    found = explain(world(settings, engine), "spam", *window, before=began)
    assert (blind.before, found.before) == (window[0], began)
    first = found.changes[0]
    assert (first.drift.name, first.where) == ("item.plays_24h", "type=track")
    assert first.drift.value > 1.2 * next(
        one.drift.value for one in blind.changes if one.drift.name == first.drift.name
    )


def test_without_predictions_before_the_alert_the_windows_just_before_are_used(
    settings: Settings, engine: Engine
) -> None:
    log(settings.predictions_dir)
    found = explain(world(settings, engine), "spam", END - clock.DAY, END, before=AT)
    assert found.before == END - clock.DAY
    assert any("windows just before" in note for note in found.notes)


def test_the_open_alert_that_began_first_says_where(settings: Settings, engine: Engine) -> None:
    detail = Detail("", "", "drift.score", "", 9, 0, 0, "", "", harms=("hate",))
    opened = Alert(
        0, "score_drift", "spam", "", "3", "digest", "firing", AT, AT, AT, None, None, None, 0.9, 0.8, None, 0.0, 0.6,
        detail, None, None, None,
    )  # fmt: skip
    other = msgspec.structs.replace(detail, metric="queue.oldest_h")
    with engine.begin() as connection:
        alerts.add(connection, opened._replace(rule="queue_old", since=AT - clock.DAY, detail=other))
        seq = alerts.add(connection, opened)
        alerts.add(connection, opened._replace(rule="input_drift", since=AT + clock.HOUR))
    one = world(settings, engine)
    found = [alert_before(one, harm, END) for harm in ("spam", "hate", "sexism")]
    assert [alert and alert.seq for alert in found] == [seq, seq, None]
    assert alert_before(one, "spam", AT) is None


def test_the_share_flagged_has_means(settings: Settings, engine: Engine) -> None:
    log(settings.predictions_dir)
    found = explain(world(settings, engine), "spam", END - clock.DAY, END)
    flagged = [one for one in found.changes if one.drift.name == "flagged"]
    assert all(mean == mean for one in flagged for mean in one.means)


def test_where_nothing_changed_it_says_so(settings: Settings, engine: Engine) -> None:
    log(settings.predictions_dir, changed=False)
    found = explain(world(settings, engine), "spam", END - clock.DAY, END)
    out = io.StringIO()
    Console(width=160, file=out).print(render_explanation(found))
    assert "nothing beyond chance" in out.getvalue()
    # It still says where to look.
    assert "item.plays_24h" in out.getvalue()


def test_a_log_without_enough_rows_says_which_window(settings: Settings, engine: Engine) -> None:
    log(settings.predictions_dir, days=1)
    with pytest.raises(NotEnoughData, match="in this window"):
        explain(world(settings, engine), "spam", END - clock.DAY, END)
    with pytest.raises(NotEnoughData, match="windows before"):
        explain(world(settings, engine), "spam", AT, AT + clock.DAY)

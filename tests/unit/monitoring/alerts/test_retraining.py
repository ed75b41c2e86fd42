"""Retraining for alerts: once for each, one at a time, with its result in the alert."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from leads import clock
from leads.alerting.policy import MonitoringPolicy, RulePolicy, WebhookPolicy
from leads.alerting.rules import RULES
from leads.clock import Micros
from leads.db.engine import reading
from leads.db.model_changes import ModelChange, record
from leads.db.monitoring import alerts
from leads.db.monitoring import rows as metric_rows
from leads.db.monitoring.rows import MetricRow
from leads.db.outbox.tables import outbox
from leads.settings import Settings
from monitoring.alerts.judge import judge
from monitoring.alerts.retraining import Retrainings
from tests.support.monitoring.watch_world import START, policies_of, world_of

NOW = START + 9 * clock.HOUR
RULE = {"queue_old": RulePolicy(retrain=True)}
POLICY = MonitoringPolicy(rules=RULE, webhook=WebhookPolicy(url="https://hooks.example.com/x"))


class Child:
    """A child that ends when it is told to."""

    # No process can have it: whoever ends a child kills its group.
    pid = 2**31 - 1

    def __init__(self) -> None:
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        assert self.code is not None
        return self.code

    def send_signal(self, sig: int) -> None:
        self.code = -sig


class Children:
    """Starts children, and keeps what was started."""

    def __init__(self) -> None:
        self.started: list[tuple[Sequence[str], Mapping[str, str], Path]] = []
        self.children: list[Child] = []

    def __call__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Child:
        self.started.append((command, env, log))
        self.children.append(Child())
        return self.children[-1]

    def end(self, code: int, output: str = "") -> None:
        log = self.started[-1][2]
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(output)
        self.children[-1].code = code

    @property
    def harms(self) -> list[str]:
        return [command[command.index("retrain") + 1] for command, _, _ in self.started]


def open_alerts(settings: Settings, engine: Engine, *harms: str, at: Micros = NOW) -> None:
    name = RULES["queue_old"].metric
    with engine.begin() as connection:
        rows = [MetricRow(harm, "3", "", at - clock.HOUR, at, name, 30.0, None, None, 9, "") for harm in harms]
        metric_rows.write(connection, "run", rows)
    judge(world_of(settings, engine, at, policies_of(settings, rules=RULE)), "run")


def states(engine: Engine) -> dict[str, tuple[str, str]]:
    with reading(engine) as connection:
        found = alerts.listing(connection)
    return {one.harm: (r.state, r.result) for one in found if (r := one.detail.retraining) is not None}


def sent(engine: Engine) -> list[dict[str, Any]]:
    with reading(engine) as connection:
        return [json.loads(body) for body in connection.execute(sa.select(outbox.c.body)).scalars()]


@pytest.fixture
def children() -> Children:
    return Children()


def test_a_version_that_was_promoted(settings: Settings, engine: Engine, children: Children) -> None:
    open_alerts(settings, engine, "spam")
    one = Retrainings(settings, start=children, clock_=lambda: NOW)
    assert one.step(engine, POLICY)
    assert states(engine) == {"spam": ("running", "")}
    assert one.step(engine, POLICY)
    with engine.begin() as connection:
        for action, why in (("registered", "Trained on 900 labels."), ("promoted", "The gate passed.")):
            change = ModelChange(NOW, "spam", "4", action, "me", why, state="done")  # type: ignore[arg-type]
            record(connection, change)
    children.end(0, "noise\n")
    assert not one.step(engine, POLICY)
    result = "Version 4 was registered. Trained on 900 labels. Version 4 was promoted to champion. The gate passed."
    assert states(engine) == {"spam": ("done", result)}
    (body,) = sent(engine)
    assert body["type"] == "alert.retrained"
    assert body["data"]["alerts"][0]["retraining"]["result"] == result
    # Never twice for one alert.
    assert not one.step(engine, POLICY)
    assert children.harms == ["spam"]
    command, env, _ = children.started[0]
    assert list(command[-6:-1]) == ["cli", "retrain", "spam", "--quiet", "--alert"]
    assert env["LEADS_HOME"] == str(settings.root)


def test_no_new_version(settings: Settings, engine: Engine, children: Children) -> None:
    open_alerts(settings, engine, "spam")
    one = Retrainings(settings, start=children, clock_=lambda: NOW)
    one.step(engine, POLICY)
    children.end(0, "Skipped spam: 3 new labels; the policy asks for 50.\n\n")
    one.step(engine, POLICY)
    assert states(engine) == {
        "spam": ("done", "There is no new version. Skipped spam: 3 new labels; the policy asks for 50.")
    }


def test_a_failure(settings: Settings, engine: Engine, children: Children) -> None:
    open_alerts(settings, engine, "spam")
    one = Retrainings(settings, start=children, clock_=lambda: NOW)
    one.step(engine, POLICY)
    children.end(1, "error: MLflow is down\n")
    one.step(engine, POLICY)
    assert states(engine) == {"spam": ("failed", "It failed with exit code 1. error: MLflow is down")}


def test_only_the_output_of_this_time_is_quoted(settings: Settings, engine: Engine, children: Children) -> None:
    log = settings.root / "logs" / "retrain-spam.log"
    log.parent.mkdir(parents=True)
    log.write_text("error: of the last time\n")
    open_alerts(settings, engine, "spam")
    one = Retrainings(settings, start=children, clock_=lambda: NOW)
    one.step(engine, POLICY)
    children.end(1)
    one.step(engine, POLICY)
    assert states(engine) == {"spam": ("failed", "It failed with exit code 1.")}


def test_one_after_the_other(settings: Settings, engine: Engine, children: Children) -> None:
    open_alerts(settings, engine, "spam", "sexism")
    one = Retrainings(settings, start=children, clock_=lambda: NOW)
    one.step(engine, POLICY)
    assert len(children.started) == 1
    children.end(0)
    assert one.step(engine, POLICY)
    children.end(0)
    assert not one.step(engine, POLICY)
    assert sorted(children.harms) == ["sexism", "spam"]


def test_another_process_of_the_home_waits(settings: Settings, engine: Engine, children: Children) -> None:
    open_alerts(settings, engine, "spam", "sexism")
    first = Retrainings(settings, start=children, clock_=lambda: NOW)
    second = Retrainings(settings, start=children, clock_=lambda: NOW)
    assert first.step(engine, POLICY)
    assert not second.step(engine, POLICY)
    first.close()
    assert len(children.started) == 1


def test_one_that_was_interrupted_is_not_started_again(settings: Settings, engine: Engine, children: Children) -> None:
    open_alerts(settings, engine, "spam", "sexism")
    killed = Retrainings(settings, start=children, clock_=lambda: NOW)
    killed.step(engine, POLICY)
    (first,) = children.harms
    killed._locks.close()
    assert Retrainings(settings, start=children, clock_=lambda: NOW).step(engine, POLICY)
    state, result = states(engine)[first]
    assert (state, result) == ("failed", f"It was interrupted, and isn't started again. Run: leads retrain {first}")
    assert len(set(children.harms)) == 2


def test_nothing_is_read_where_no_rule_asks_for_it(settings: Settings, engine: Engine, children: Children) -> None:
    open_alerts(settings, engine, "spam")
    assert not Retrainings(settings, start=children).step(engine, MonitoringPolicy())
    assert children.started == []


def test_finish_waits_for_everything(settings: Settings, engine: Engine) -> None:
    class Quick(Children):
        def __call__(self, *given: Any) -> Child:
            child = super().__call__(*given)
            child.code = 0
            return child

    quick = Quick()
    open_alerts(settings, engine, "spam", "sexism")
    Retrainings(settings, start=quick, clock_=lambda: NOW).finish(engine, POLICY, every_s=0)
    assert {state for state, _ in states(engine).values()} == {"done"}

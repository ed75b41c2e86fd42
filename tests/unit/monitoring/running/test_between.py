"""Between two runs of the watch: messages are sent when they are due, and what fails is said once."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Engine

from leads import clock
from leads.alerting.policy import MonitoringPolicy, WebhookPolicy
from leads.db.engine import reading
from leads.db.outbox import messages
from leads.db.outbox.tables import outbox
from leads.settings import Settings
from monitoring.alerts.messages import TOPIC
from monitoring.running import between as between_module
from monitoring.running.between import Between

POLICY = MonitoringPolicy(webhook=WebhookPolicy(url="http://127.0.0.1:9/hook"))
SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between_module, "_EVERY_S", 0.01)


def put(engine: Engine) -> None:
    with engine.begin() as connection:
        messages.put(connection, TOPIC, "k", b"{}", clock.now())


def tries(engine: Engine) -> list[int]:
    with reading(engine) as connection:
        return list(connection.execute(sa.select(outbox.c.tries)).scalars())


def test_messages_are_sent(settings: Settings, engine: Engine) -> None:
    put(engine)
    named = settings.model_copy(update={"alert_webhook_secret": SECRET})
    between = Between(named, threading.Event())
    between.wait(0.05, POLICY)
    between.close()
    assert tries(engine) == [1]


def test_what_fails_is_said_once(settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    put(engine)
    between = Between(settings, threading.Event())
    between.wait(0.1, POLICY)
    between.wait(0.1, POLICY)
    between.close()
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert "LEADS_ALERT_WEBHOOK_SECRET" in caplog.text
    assert tries(engine) == [0]


def test_nothing_ends_it(
    settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a text")

    monkeypatch.setattr(between_module, "send_waiting", fail)
    between = Between(settings, threading.Event())
    between.wait(0.1, POLICY)
    between.close()
    assert caplog.messages == ["Alerts can't be sent: unexpected ZeroDivisionError."]


def test_a_host_that_only_summarises_sends_nothing(settings: Settings, engine: Engine) -> None:
    put(engine)
    between = Between(settings, threading.Event())
    between.wait(0.05, None)
    between.close()
    assert tries(engine) == [0]


def test_it_stops_at_once(settings: Settings, engine: Engine) -> None:
    stopped = threading.Event()
    stopped.set()
    between = Between(settings, stopped)
    between.wait(600, POLICY)
    between.close()

"""Sending what waits, by the policy and the settings."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.engine import Engine

from leads import clock
from leads.alerting.policy import MonitoringPolicy, WebhookPolicy
from leads.db.engine import reading
from leads.db.outbox import messages
from leads.db.outbox.tables import outbox
from leads.errors import ConfigurationError
from leads.outbox.delivery import Deliveries
from leads.settings import Settings
from monitoring.alerts.messages import TOPIC
from monitoring.alerts.sending import receivers, send_waiting

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WITH_WEBHOOK = MonitoringPolicy(webhook=WebhookPolicy(url="http://127.0.0.1:9/hook"))


def put(engine: Engine) -> None:
    with engine.begin() as connection:
        messages.put(connection, TOPIC, "k", b"{}", clock.now())


def errors(engine: Engine) -> list[str | None]:
    with reading(engine) as connection:
        return list(connection.execute(sa.select(outbox.c.error)).scalars())


def test_without_a_secret_messages_wait(settings: Settings, engine: Engine) -> None:
    put(engine)
    with pytest.raises(ConfigurationError, match="LEADS_ALERT_WEBHOOK_SECRET"):
        send_waiting(settings, WITH_WEBHOOK, engine)
    assert errors(engine) == [None]


def test_a_receiver_that_is_down(settings: Settings, engine: Engine) -> None:
    put(engine)
    named = settings.model_copy(update={"alert_webhook_secret": SecretStr(SECRET)})
    assert send_waiting(named, WITH_WEBHOOK, engine) == Deliveries(0, 1, 0)
    assert errors(engine) == ["no response: ConnectError"]


def test_without_a_webhook_what_waits_is_given_up(settings: Settings, engine: Engine) -> None:
    put(engine)
    assert send_waiting(settings, MonitoringPolicy(), engine) == Deliveries(0, 0, 0)
    assert errors(engine) == ["The policies name no webhook any more."]
    assert receivers(settings, MonitoringPolicy()) == {}

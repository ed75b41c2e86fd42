"""Sends the messages about alerts that wait in the outbox to the policies' webhook."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.engine import Engine

from leads import clock
from leads.alerting.policy import MonitoringPolicy
from leads.db.engine import reading
from leads.db.outbox import messages
from leads.errors import ConfigurationError
from leads.outbox.delivery import Deliveries, Send, deliver
from leads.outbox.webhook import SECRET_SETTING, Webhook, secrets_of
from leads.settings import Settings
from monitoring.alerts.messages import TOPIC


def send_waiting(settings: Settings, policy: MonitoringPolicy, engine: Engine) -> Deliveries:
    """Send the messages that are due. Without a webhook, those that wait are given up.

    Raises:
        ConfigurationError: the secret that signs them is missing or invalid.
        Unavailable: the database doesn't respond.
    """
    to = receivers(settings, policy)
    if not to and _waits(engine):
        messages.give_up(engine, TOPIC, clock.now(), "The policies name no webhook any more.")
    return deliver(engine, to)


def receivers(settings: Settings, policy: MonitoringPolicy) -> Mapping[str, Send]:
    """Who sends the messages about alerts; nobody, if the policies name no webhook.

    Raises:
        ConfigurationError: the secret that signs them is missing or invalid.
    """
    if policy.webhook is None:
        return {}
    secret = settings.alert_webhook_secret
    if secret is None:
        raise ConfigurationError(
            "Alerts have a webhook (monitoring.webhook in the policies), but no secret that signs them.",
            field=SECRET_SETTING,
            remedy="Set it to a secret that the receiver knows: echo whsec_$(openssl rand -base64 32)",
        )
    return {TOPIC: Webhook(policy.webhook.url, secrets_of(secret.get_secret_value()))}


def _waits(engine: Engine) -> bool:
    with reading(engine) as connection:
        return messages.next_at(connection, (TOPIC,)) is not None

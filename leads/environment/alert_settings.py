"""Settings of alerts, as a part of `leads.settings.Settings`."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class AlertSettings(BaseSettings):
    """What is needed to send alerts, and must not stand in policies.yaml."""

    model_config = SettingsConfigDict(frozen=True)

    alert_webhook_secret: SecretStr | None = Field(
        default=None,
        description="Secret that signs the alerts' webhook: `whsec_` and 24 to 64 bytes in base64. Several, separated "
        "by spaces, while the receiver changes from one to the next.",
    )

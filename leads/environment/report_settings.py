"""Settings of monitoring's reports, as a part of `leads.settings.Settings`."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class ReportSettings(BaseSettings):
    """Where reports go that others show."""

    model_config = SettingsConfigDict(frozen=True)

    evidently_url: SecretStr | None = Field(
        default=None,
        description="Evidently server that gets a snapshot of each harm a day: `https://evidently.example`, or with "
        "its secret `https://:secret@evidently.example`. Default: a workspace in home, for `evidently ui`.",
    )

    @field_validator("evidently_url")
    @classmethod
    def _valid_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url.get_secret_value())
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            valid = False
        if not valid or parts.query or parts.fragment:
            raise ValueError("must be a URL that begins with http:// or https://")
        return url

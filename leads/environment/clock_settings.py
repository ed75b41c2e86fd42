"""The setting of the clock, as a part of `leads.settings.Settings`, and where it is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from leads import clock
from leads.environment.addresses import is_loopback


class ClockSettings(BaseSettings):
    """Only demos and tests set it. `leads.clock` reads the variable itself, wherever the time is needed."""

    model_config = SettingsConfigDict(frozen=True)

    clock: str | None = Field(
        default=None,
        description="The clock of a demo or test, on this host alone: `START`, at which it stands still, or "
        "`START@SPEED@ANCHOR`: it showed START when this host's clock showed ANCHOR, and runs SPEED times as fast.",
    )

    @field_validator("clock")
    @classmethod
    def _valid_clock(cls, text: str | None) -> str | None:
        if text is not None:
            clock.parsed(text)
        return text


def refuse_network(given: dict[str, Any], host: str | None) -> None:
    """Refuse an address that others can reach, or that others use, while the clock is set.

    Args:
        given: the settings that were checked before.
        host: None: not an address of the network.

    Raises:
        ValueError: the clock is set, and the address isn't this host's own.
    """
    if given.get("clock") is not None and host and not is_loopback(host):
        raise ValueError(f"must be on this host alone, such as 127.0.0.1, while {clock.SETTING} sets the clock")


def host_of(url: str) -> str | None:
    """The host of a database's URL; None for a file or a socket.

    >>> host_of("postgresql://me:secret@db.example/leads"), host_of("postgresql:///leads?host=/run/postgresql")
    ('db.example', None)
    """
    parts = urlsplit(url)
    named = parts.hostname or next(iter(parse_qs(parts.query).get("host", [])), "")
    return None if not named or named.startswith("/") else named

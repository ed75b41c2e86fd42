"""Settings of logs and traces, as a part of `leads.settings.Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LogSettings(BaseSettings):
    """What the serving processes log, and where."""

    model_config = SettingsConfigDict(frozen=True)

    log_format: Literal["json", "text"] = Field(default="json", description="Log format of the serving processes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Lowest level to log.")
    log_to: Literal["files", "stderr"] = Field(
        default="files",
        description="Where `leads serve` sends the logs of its processes: `logs/` in home, or its own stderr, for "
        "containers and journald.",
    )
    log_file: Path | None = Field(
        default=None,
        description="File that a process appends its log to and rotates. `leads serve` sets it for its processes.",
    )
    log_max_mb: Annotated[float, Field(ge=0, le=100_000)] = Field(
        default=32.0,
        description="Size in MB at which a log file is rotated; 0: never, for example because of logrotate.",
    )
    log_keep: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=14, description="Number of rotated files to keep of each log file."
    )
    access_log_rate: Annotated[float, Field(ge=0, le=1e6)] = Field(
        default=10.0,
        description="Successful requests per second that each API process logs; failed and slow ones always are.",
    )
    traces: Literal["off", "otlp", "console"] = Field(
        default="off",
        description="Where the API sends OpenTelemetry traces; `otlp` is configured by OpenTelemetry's own variables.",
    )

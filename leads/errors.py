"""The one error tree. Library errors are translated into it at the edge where they occur.

The root and the errors that travel over HTTP are defined by the client (`leads_client.errors`); the platform adds:

LeadsError
├── …                   see `leads_client.errors`
├── ConfigurationError  settings or policies are invalid         500
├── NotEnoughData       too few labels or rows for the task      422
└── ModelRefused        a registered version fails its checks    503
"""

from __future__ import annotations

from leads_client.errors import (
    AccessDenied,
    Conflict,
    InvalidInput,
    LeadsError,
    NotAuthenticated,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)

__all__ = [
    "AccessDenied",
    "ConfigurationError",
    "Conflict",
    "InvalidInput",
    "LeadsError",
    "ModelRefused",
    "NotAuthenticated",
    "NotEnoughData",
    "NotFound",
    "TooLarge",
    "TooManyRequests",
    "Unavailable",
]


class ConfigurationError(LeadsError):
    status = 500
    title = "The configuration is not valid"


class NotEnoughData(LeadsError):
    status = 422
    title = "There is not enough data"


class ModelRefused(LeadsError):
    status = 503
    title = "The model version is refused"

"""The error tree. Library errors are translated into it where they are caught.

The root and the errors that travel over HTTP are defined by the client (`leads_client.errors`); the platform adds:

LeadsError
├── …                   see `leads_client.errors`
├── ConfigurationError  invalid settings or policies             500
├── NotEnoughData       too few labels or rows for the task      422
└── ModelRefused        a registered version fails its checks    503
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

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
    "together",
]


MAX_FAULTS = 20
ErrorT = TypeVar("ErrorT", bound=LeadsError)


def together(errors: Sequence[ErrorT]) -> ErrorT:
    """One error for several of a kind. It says what the first says, and names the places of up to 20."""
    first, more = errors[0], len(errors) - 1
    others = f" So {'are' if more > 1 else 'is'} {more} more." if more else ""
    faults = [fault for error in errors[:MAX_FAULTS] for fault in error.faults]
    return type(first)(first.message + others, field=first.field, remedy=first.remedy, faults=faults)


class ConfigurationError(LeadsError):
    status = 500
    title = "Invalid configuration"


class NotEnoughData(LeadsError):
    status = 422
    title = "Not enough data"


class ModelRefused(LeadsError):
    status = 503
    title = "Model version refused"

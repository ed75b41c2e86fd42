"""The error tree. Library errors are translated into it where they are caught.

The root and the errors that travel over HTTP are defined by the client (`leads_client.errors`); the platform adds:

LeadsError
├── …                   see `leads_client.errors`
├── ConfigurationError  invalid settings or policies             500
├── NotEnoughData       too few labels or rows for the task      422
└── ModelRefused        a registered version fails its checks    503
    └── FilesDamaged    its files aren't those registered        503
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from leads_client.errors import (
    AccessDenied,
    AlreadyDecided,
    Conflict,
    InvalidInput,
    LeadClaimed,
    LeadsError,
    LeaseExpired,
    NoModel,
    NotAuthenticated,
    NotClaimed,
    NotFound,
    TooLarge,
    TooManyRequests,
    Unavailable,
)

__all__ = [
    "AccessDenied",
    "AlreadyDecided",
    "ConfigurationError",
    "Conflict",
    "FilesDamaged",
    "InvalidInput",
    "LeadClaimed",
    "LeadsError",
    "LeaseExpired",
    "ModelRefused",
    "NoModel",
    "NotAuthenticated",
    "NotClaimed",
    "NotEnoughData",
    "NotFound",
    "TooLarge",
    "TooManyRequests",
    "Unavailable",
    "count_of_wrong",
    "moved",
    "together",
]


MAX_FAULTS = 20
ErrorT = TypeVar("ErrorT", bound=LeadsError)


def together(errors: Sequence[ErrorT], what: str = "entries") -> ErrorT:
    """One error for several. It is of the first one's kind and says what that says, and names the places of up to 20.

    Args:
        what: what is wrong, in the plural.
    """
    first = errors[0]
    faults = [fault for error in errors[:MAX_FAULTS] for fault in error.faults][:MAX_FAULTS]
    message = first.message + count_of_wrong(len(errors), what)
    return type(first)(message, field=first.field, remedy=first.remedy, faults=faults)


def moved(error: ErrorT, place: Callable[[str], str]) -> ErrorT:
    """The error, with another place for each of its own.

    Args:
        place: gets a place, or "" if the error has none.
    """
    faults = [fault._replace(field=place(fault.field)) for fault in error.faults]
    return type(error)(error.message, field=place(error.field or ""), remedy=error.remedy, faults=faults)


def count_of_wrong(count: int, what: str) -> str:
    """The sentence, after the message about the first of them, that says how many are wrong.

    >>> count_of_wrong(1, "lines"), count_of_wrong(2, "lines")
    ('', ' In all, 2 lines are wrong.')
    >>> count_of_wrong(1000, "lines")
    ' In all, 1,000 lines are wrong; the first 20 are listed.'
    """
    if count == 1:
        return ""
    return f" In all, {count:,} {what} are wrong{f'; the first {MAX_FAULTS} are listed' if count > MAX_FAULTS else ''}."


class ConfigurationError(LeadsError):
    status = 500
    title = "Invalid configuration"


class NotEnoughData(LeadsError):
    status = 422
    title = "Not enough data"


class ModelRefused(LeadsError):
    status = 503
    title = "Model version refused"


class FilesDamaged(ModelRefused):
    """A file of the version is missing, unreadable or not the one that was registered. Another copy may be whole."""

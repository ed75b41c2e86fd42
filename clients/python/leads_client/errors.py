"""Errors that travel over HTTP: what the service answers as a problem document and the client raises again.

LeadsError
├── InvalidInput        the request cannot be used                 422
├── TooLarge            the request exceeds a size limit           413
├── NotAuthenticated    no API key, or an unknown one              401
├── AccessDenied        the key's scopes don't allow this          403
├── NotFound            the named thing doesn't exist              404
├── Conflict            its current state forbids this             409
├── TooManyRequests     over the rate limit                        429
└── Unavailable         the service, a store or a registry is down 503
"""

from __future__ import annotations

from typing import ClassVar


class LeadsError(Exception):
    """What was wrong, where, and what to do about it.

    Args:
        message: what is wrong, as one sentence.
        field: JSON pointer (`/items/0/id`), option (`--harm`) or file position (`policies.yaml:12`).
        remedy: what the reader can do next.

    Raised by the client, it also holds the `request_id` under which the service's log has more.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    request_id: str | None = None

    def __init__(self, message: str, *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        what_next = f" {self.remedy}" if self.remedy else ""
        return f"{where}{self.message}{what_next}"


class InvalidInput(LeadsError):
    status = 422
    title = "The input is not valid"


class TooLarge(LeadsError):
    status = 413
    title = "The input is too large"


class NotAuthenticated(LeadsError):
    status = 401
    title = "A valid API key is needed"


class AccessDenied(LeadsError):
    status = 403
    title = "This key doesn't allow that"


class NotFound(LeadsError):
    status = 404
    title = "Not found"


class Conflict(LeadsError):
    status = 409
    title = "The current state forbids this"


class TooManyRequests(LeadsError):
    """`retry_after_s`: after how many whole seconds another try can succeed, at least 1."""

    status = 429
    title = "Too many requests"

    def __init__(
        self, message: str, *, retry_after_s: int = 1, field: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.retry_after_s = max(1, retry_after_s)


class Unavailable(LeadsError):
    status = 503
    title = "A part this needs doesn't answer"

"""The one error tree. Library errors are translated into it at the edge where they occur.

LeadsError
├── InvalidInput        what the caller sent can't be used           422
├── TooLarge            it would be fine if it were smaller          413
├── NotAuthenticated    no key, or one we don't know                 401
├── AccessDenied        the key doesn't allow this                   403
├── NotFound            the thing named doesn't exist                404
├── Conflict            it exists, but its state forbids this        409
├── TooManyRequests     fine, but not so often                       429
├── ConfigurationError  settings or policies are wrong               500
├── NotEnoughData       the labels or rows at hand can't carry this  422
├── ModelRefused        a registered version fails its own proof     503
└── Unavailable         a store or registry doesn't answer           503
"""

from __future__ import annotations

from typing import ClassVar


class LeadsError(Exception):
    """What was wrong, where, and what to do about it.

    Args:
        message: what is wrong, as one sentence.
        field: JSON pointer (`/items/0/id`), option (`--harm`) or file position (`policies.yaml:12`).
        remedy: what the reader can do next.

    Raised by `leads.client`, it also holds the `request_id` under which the service's log has more.
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


class ConfigurationError(LeadsError):
    status = 500
    title = "The configuration is not valid"


class NotEnoughData(LeadsError):
    status = 422
    title = "There is not enough data"


class ModelRefused(LeadsError):
    status = 503
    title = "The model version is refused"


class Unavailable(LeadsError):
    status = 503
    title = "A part this needs doesn't answer"

"""Errors that travel over HTTP: the service sends them as problem documents, and the client raises them again.

LeadsError
├── InvalidInput        the request is invalid                     422
├── TooLarge            the request exceeds a size limit           413
├── NotAuthenticated    no API key, or an invalid one              401
├── AccessDenied        the key's scopes don't allow this          403
├── NotFound            the resource doesn't exist                 404
├── Conflict            not possible in the current state          409
│   ├── LeadClaimed       another reviewer holds the lead
│   ├── AlreadyDecided    a decision stands already
│   ├── NotClaimed        this reviewer doesn't hold the lead
│   ├── LeaseExpired      this reviewer held it until the lease ran out
│   └── NoModel           no model version of the harm was ever published
├── TooManyRequests     over the rate limit                        429
└── Unavailable         the service, a store or a registry is down 503
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Fault(NamedTuple):
    """What is wrong at one place of the input: a JSON pointer or a file position, and a sentence."""

    field: str
    message: str


class LeadsError(Exception):
    """An error that says what is wrong, where, and what to do.

    Args:
        message: what is wrong, as one sentence.
        field: JSON pointer (`/items/0/id`), option (`--harm`) or file position (`policies.yaml:12`).
        remedy: what the reader can do next.
        faults: everything that is wrong, if it is more than what `field` and `message` say.

    When raised by the client, `request_id` identifies the request in the service's log.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    request_id: str | None = None

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        remedy: str | None = None,
        faults: Sequence[Fault] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy
        self.faults = tuple(faults) or ((Fault(field, message),) if field else ())

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        what_next = f" {self.remedy}" if self.remedy else ""
        return f"{where}{self.message}{what_next}"


class InvalidInput(LeadsError):
    status = 422
    title = "Invalid input"


class TooLarge(LeadsError):
    status = 413
    title = "Input too large"


class NotAuthenticated(LeadsError):
    status = 401
    title = "Valid API key required"


class AccessDenied(LeadsError):
    status = 403
    title = "Not allowed with this API key"


class NotFound(LeadsError):
    status = 404
    title = "Not found"


class Conflict(LeadsError):
    status = 409
    title = "Not possible in the current state"


class LeadClaimed(Conflict):
    title = "Another reviewer has claimed the lead"


class AlreadyDecided(Conflict):
    title = "Already decided"


class NotClaimed(Conflict):
    title = "The reviewer hasn't claimed the lead"


class LeaseExpired(Conflict):
    title = "The lease has expired"


class NoModel(Conflict):
    title = "No model is published"


class TooManyRequests(LeadsError):
    """`retry_after_s`: whole seconds after which a retry can succeed, at least 1."""

    status = 429
    title = "Too many requests"

    def __init__(
        self, message: str, *, retry_after_s: int = 1, field: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.retry_after_s = max(1, retry_after_s)


class Unavailable(LeadsError):
    """Often, a retry can succeed after a second or so."""

    status = 503
    title = "Unavailable"
    retry_after_s: ClassVar[int] = 1

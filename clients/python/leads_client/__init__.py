"""A typed Python client for the Lead Serving API, blocking and asyncio.

    from leads_client import Client, subject

    with Client(key="ls_…") as client:
        for result in client.score([subject("comment", "c1", text="free coins")]).results:
            print(result.subject, [score.score for score in result.scores])

Both clients have the same methods. Requests and responses are the structs in `leads_client.schemas`, errors the classes
in `leads_client.errors`. Transient failures are retried for a minute: reads and scores are safe to repeat, and every
call that changes something sends an Idempotency-Key.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from leads_client.version import VERSION as __version__

if TYPE_CHECKING:
    from leads_client._async import AsyncClient
    from leads_client._calls import SubjectLike, event, item, ref, subject
    from leads_client._sync import Client
    from leads_client.schemas.base import SubjectIn
    from leads_client.schemas.events import EventIn, ItemIn, PlayIn, SignalIn
    from leads_client.version import VersionMismatch

__all__ = [
    "AsyncClient",
    "Client",
    "EventIn",
    "ItemIn",
    "PlayIn",
    "SignalIn",
    "SubjectIn",
    "SubjectLike",
    "VersionMismatch",
    "__version__",
    "event",
    "item",
    "ref",
    "subject",
]

# Imported on first use: whoever needs only the schemas or the errors, as the service does, doesn't load httpx.
_HOMES = {
    "AsyncClient": "_async",
    "Client": "_sync",
    "EventIn": "schemas.events",
    "ItemIn": "schemas.events",
    "PlayIn": "schemas.events",
    "SignalIn": "schemas.events",
    "SubjectIn": "schemas.base",
    "SubjectLike": "_calls",
    "VersionMismatch": "version",
    "event": "_calls",
    "item": "_calls",
    "ref": "_calls",
    "subject": "_calls",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)

"""A typed Python client for the Lead Serving API, blocking and asyncio.

    from leads_client import Client, subject

    with Client(key="ls_…") as client:
        for result in client.score([subject("comment", "c1", text="free coins")]).results:
            print(result.subject, [score.score for score in result.scores])

Both clients have the same methods. Requests and responses are the structs in `leads_client.schemas`, errors the classes
in `leads_client.errors`. Transient failures are retried: reads and scores are safe to repeat, and every call that
changes something sends an Idempotency-Key.
"""

from leads_client._async import AsyncClient
from leads_client._calls import SubjectLike, ref, subject
from leads_client._retries import Retries
from leads_client._sync import Client
from leads_client.schemas.base import SubjectIn
from leads_client.schemas.events import ItemIn, PlayIn, SignalIn

__all__ = [
    "AsyncClient",
    "Client",
    "ItemIn",
    "PlayIn",
    "Retries",
    "SignalIn",
    "SubjectIn",
    "SubjectLike",
    "ref",
    "subject",
]

"""The API from Python, typed, blocking or on asyncio.

    from leads.client import Client, subject

    with Client(key="ls_…") as client:
        for result in client.score([subject("comment", "c1", text="free coins")]).results:
            print(result.subject, [score.score for score in result.scores])

Both clients have the same methods. Requests and answers are the structs of `leads.wire`, `leads.wire_scores` and
`leads.wire_leads`; what the service refuses is raised from the one error tree, `leads.errors`. What fails for now is
sent again: reads and scores are safe to repeat, and whatever changes something carries an Idempotency-Key.
"""

from leads.client._async import AsyncClient
from leads.client._calls import SubjectLike, ref, subject
from leads.client._retries import Retries
from leads.client._sync import Client
from leads.wire import ItemIn, PlayIn, SignalIn, SubjectIn

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

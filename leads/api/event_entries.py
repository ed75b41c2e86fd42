"""What the API's items, signals and plays are as events."""

from __future__ import annotations

from leads.events import Body, ItemCreated, Played, SignalReceived, SubjectRef
from leads_client.schemas.base import Ref, SubjectIn
from leads_client.schemas.events import ItemIn, PlayIn, SignalIn

Entry = ItemIn | SignalIn | PlayIn


def body_of(entry: Entry) -> Body:
    """The body of the event that an entry reports."""
    if isinstance(entry, ItemIn):
        data = entry.data
        parent = ref_of(data.parent) if data.parent else None
        return ItemCreated(ref_of(entry), data.account_id, parent, data.text or "", data.duration_s)
    if isinstance(entry, SignalIn):
        subject = ref_of(entry.subject)
        return SignalReceived(subject, entry.kind, entry.source, entry.harm, entry.reporter_id, entry.score)
    return Played(ref_of(entry.subject), entry.account_id, entry.seconds, entry.device_id)


def ref_of(named: Ref | SubjectIn) -> SubjectRef:
    """The subject that an entry names."""
    return SubjectRef(named.type_id, named.id)

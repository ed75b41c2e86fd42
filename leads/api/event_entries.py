"""What the API's items, signals, plays and events are in the log, and the rules that their schemas can't state."""

from __future__ import annotations

from leads.api.declared import Declared
from leads.errors import InvalidInput
from leads.events import Body, DecisionMade, Played, SignalReceived, SubjectRef
from leads.policies import Policies
from leads_client.schemas.base import Ref, SubjectIn
from leads_client.schemas.events import EventIn, ItemIn, PlayIn, SignalIn

Entry = ItemIn | SignalIn | PlayIn | EventIn
# The JSON pointers of an event's fields, and those of the same fields in the API's objects.
API_FIELDS = {
    "/id": "/eventId",
    "/occurred_at": "/occurredAt",
    "/visible_at": "/visibleAt",
    "/body/harm": "/harm",
    "/body/score": "/score",
    "/body/subject/type_id": "/subject/typeId",
}


def body_of(entry: Entry, declared: Declared) -> Body:
    """The body of the event that an entry reports.

    Raises:
        InvalidInput: an item's type or an event's kind isn't declared, or the content doesn't fit it; with the JSON
            pointer in the entry.
    """
    if isinstance(entry, ItemIn):
        return declared.item(ref_of(entry), entry.data)
    if isinstance(entry, EventIn):
        about = None if entry.subject is None else ref_of(entry.subject)
        return declared.happened(entry.kind, about, entry.account_id, entry.data)
    if isinstance(entry, SignalIn):
        subject = ref_of(entry.subject)
        return SignalReceived(subject, entry.kind, entry.source, entry.harm, entry.reporter_id, entry.score)
    return Played(ref_of(entry.subject), entry.account_id, entry.seconds, entry.device_id)


def ref_of(named: Ref | SubjectIn) -> SubjectRef:
    """The subject that an entry names."""
    return SubjectRef(named.type_id, named.id)


def check_body(body: Body, policies: Policies) -> None:
    """Check an event that somebody sends, over HTTP or in a file, beyond its schema.

    Raises:
        NotFound: policies.yaml doesn't define the harm; with the field's JSON pointer in the event.
        InvalidInput: a classifier's score is missing, or a decision's harm doesn't apply to the subject's type.
    """
    if isinstance(body, SignalReceived):
        if body.harm is not None:
            policies.harm(body.harm, field="/body/harm")
        if body.kind == "classifier" and body.score is None:
            raise InvalidInput(
                "A signal of kind classifier needs a score.",
                field="/body/score",
                remedy="Send the classifier's score, from 0 to 1.",
            )
    elif isinstance(body, DecisionMade):
        policies.harm(body.harm, field="/body/harm")
        policies.check_type(body.harm, body.subject.type_id, field="/body/subject/type_id")

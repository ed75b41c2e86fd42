"""Turns items, signals and plays into events and appends them durably, once per event id."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy.engine import Connection

from leads.api.event_entries import Entry, body_of
from leads.api.requests import instant
from leads.clock import Clock, Micros
from leads.db import event_log
from leads.db.keys import ApiKey
from leads.errors import Conflict, InvalidInput, LeadsError, together
from leads.events import Event
from leads.policies import Policies
from leads_client.schemas.events import Accepted, ItemsIn, PlaysIn, SignalIn, SignalsIn
from serving.http.access.harms import check_harm
from serving.http.idempotency import IdempotencyKey

Batch = ItemsIn | SignalsIn | PlaysIn
_FIELDS = {"id": "eventId", "occurred_at": "occurredAt"}


def events_of(
    batch: Batch, key: ApiKey, policies: Policies, idempotency_key: IdempotencyKey | None, now: Micros
) -> list[Event]:
    """Convert a batch to events. An entry without an id gets one; with an Idempotency-Key, a retry gets the same ids.

    An id that we make can only meet an id of the same sender, and then the log says so.

    Raises:
        InvalidInput, NotFound, AccessDenied: entries are invalid; with the JSON pointers of up to 20.
    """
    name, entries = _entries(batch)
    found: list[Event] = []
    errors: list[LeadsError] = []
    for i, entry in enumerate(entries):
        try:
            at = instant(entry.occurred_at, now, field=f"/{name}/{i}/occurredAt")
            if isinstance(entry, SignalIn) and entry.harm is not None:
                check_harm(policies, key, entry.harm, field=f"/{name}/{i}/harm")
        except LeadsError as error:
            errors.append(error)
            continue
        id_ = entry.event_id or (idempotency_key.event_id(i) if idempotency_key else f"e_{secrets.token_hex(12)}")
        found.append(Event(id_, at, body_of(entry)))
    if errors:
        raise together(errors)
    return found


def accept(connection: Connection, batch: Batch, events: list[Event], sender: str, clock_: Clock) -> Accepted:
    """Append the events in the caller's transaction.

    Raises:
        InvalidInput: an event's time is in the future.
        Conflict: the sender has used an event id for another event.
    """
    name, entries = _entries(batch)
    untimed = {event.id for event, entry in zip(events, entries, strict=True) if entry.occurred_at is None}
    try:
        appended = event_log.append(connection, sender, events, untimed=untimed, clock_=clock_)
    except (InvalidInput, Conflict) as error:
        raise _with_request_pointers(error, name) from error
    return Accepted(
        accepted=appended.accepted, duplicates=appended.duplicates, event_ids=tuple(event.id for event in events)
    )


def _entries(batch: Batch) -> tuple[str, Sequence[Entry]]:
    if isinstance(batch, ItemsIn):
        return "items", batch.items
    if isinstance(batch, SignalsIn):
        return "signals", batch.signals
    return "plays", batch.plays


def _with_request_pointers(error: InvalidInput | Conflict, name: str) -> InvalidInput | Conflict:
    """Change the pointers from the log's (`/3/occurred_at`) to the request's (`/items/3/occurredAt`)."""
    faults = [fault._replace(field=_request_pointer(fault.field, name)) for fault in error.faults]
    return type(error)(error.message, field=faults[0].field, remedy=error.remedy, faults=faults)


def _request_pointer(pointer: str, name: str) -> str:
    _, place, field = pointer.split("/")
    return f"/{name}/{place}/{_FIELDS[field]}"

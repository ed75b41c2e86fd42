"""Turns items, signals, plays and declared events into events and appends them durably, once per event id."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.engine import Connection

from leads.api.declared import Declared
from leads.api.event_entries import API_FIELDS, Entry, body_of, check_body
from leads.api.requests import instant
from leads.clock import Clock, Micros
from leads.db import event_log
from leads.db.keys import ApiKey
from leads.errors import Conflict, InvalidInput, LeadsError, NotFound, moved, together
from leads.events import Event
from leads.policies import Policies
from leads_client.schemas.events import Accepted, EventsIn, ItemsIn, PlaysIn, SignalIn, SignalsIn
from serving.http.idempotency import IdempotencyKey

Batch = ItemsIn | SignalsIn | PlaysIn | EventsIn


class Rules(NamedTuple):
    """What decides whether an entry that fits its schema is accepted."""

    key: ApiKey
    policies: Policies
    declared: Declared
    now: Micros

    def event(self, entry: Entry, place: str, id_: str = "") -> Event:
        """The event that an entry reports.

        Args:
            place: the entry's JSON pointer.

        Raises:
            InvalidInput, NotFound, AccessDenied: the entry is invalid; with a JSON pointer.
        """
        at = instant(entry.occurred_at, self.now, field=f"{place}/occurredAt")
        if isinstance(entry, SignalIn) and entry.harm is not None:
            # Before the harm is looked up: the error about an unknown harm lists every harm.
            self.key.require_harm(entry.harm, field=f"{place}/harm")
        try:
            body = body_of(entry, self.declared)
        except InvalidInput as error:
            raise moved(error, place.__add__) from error
        event = Event(id_, at, body)
        try:
            check_body(body, self.policies)
            event_log.check_live(event, self.now)
        except (InvalidInput, NotFound) as error:
            raise type(error)(error.message, field=_api_pointer(place, error.field), remedy=error.remedy) from error
        return event


def events_of(batch: Batch, rules: Rules, idempotency_key: IdempotencyKey | None) -> list[Event]:
    """Convert a batch to events. An entry without an id gets one; with an Idempotency-Key, a retry gets the same ids.

    An id that we make can only meet an id of the same sender, and then the log says so.

    Raises:
        InvalidInput, NotFound, AccessDenied: entries are invalid; with the JSON pointers of up to 20.
    """
    name, entries = _entries(batch)
    found: list[Event] = []
    errors: list[LeadsError] = []
    for i, entry in enumerate(entries):
        id_ = entry.event_id or (idempotency_key.event_id(i) if idempotency_key else f"e_{secrets.token_hex(12)}")
        try:
            found.append(rules.event(entry, f"/{name}/{i}", id_))
        except LeadsError as error:
            errors.append(error)
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
    if isinstance(batch, EventsIn):
        return "events", batch.events
    return "plays", batch.plays


def _with_request_pointers(error: InvalidInput | Conflict, name: str) -> InvalidInput | Conflict:
    """Change the pointers from the log's (`/3/occurred_at`) to the request's (`/items/3/occurredAt`)."""
    faults = [fault._replace(field=_request_pointer(fault.field, name)) for fault in error.faults]
    return type(error)(error.message, field=faults[0].field, remedy=error.remedy, faults=faults)


def _request_pointer(pointer: str, name: str) -> str:
    _, place, field = pointer.split("/")
    return _api_pointer(f"/{name}/{place}", f"/{field}")


def _api_pointer(place: str, field: str | None) -> str:
    """The pointer of an event's field in the entry at `place`."""
    return f"{place}{API_FIELDS[field or '']}"
